"""The prepaid balance of an organization: an append-only ledger, and the payment provider that fills it.

What a credential is and who may add money is decided before; what the money buys is the operator's business.
"""
