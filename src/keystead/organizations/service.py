"""The use cases of organizations, each in the file of what it is about."""

from keystead.organizations.factors_of import FactorsOfMembers
from keystead.organizations.invitations import Invitations
from keystead.organizations.members import Members
from keystead.organizations.passwords import Passwords
from keystead.organizations.people import People
from keystead.organizations.policies import Policing
from keystead.organizations.signed_in import SignIns


class Organizations(Members, FactorsOfMembers, Invitations, Policing, Passwords, SignIns, People):
    """Members, invitations and policies of organizations, and what operators manage of all of them.

    Who acts, and in which organization, comes from the principal alone (promise K5). What a person may do is asked
    again within each unit of work, so that two changes at once cannot undo each other's ground.
    """
