"""Account Settings: what everybody manages of their own. The view models stand at the head of each page's module."""
