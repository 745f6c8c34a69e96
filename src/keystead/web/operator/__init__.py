"""The pages of the installation, for its operators (platform admins)."""
