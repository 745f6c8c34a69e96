"""Sessions: signing in with a password in a browser, and the cookie ``cloud.sso`` that it leaves behind.

Who the person is and whether the password is right is for ``keystead.accounts`` to say. The pages live in
``keystead.web``; they use the service and the cookies of this room.
"""
