"""The pages of an organization, for its owners and admins."""
