"""The audit log: who did what to whom, when and from where, for as long as the operator's retention says (promise O2).

Rooms record an event in the transaction of the change that it tells of, so that neither stands without the other.
Checks and refreshes are never written here; refused sign-ins go to the server's log.
"""
