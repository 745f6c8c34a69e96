"""The whole application within this process, with more people in it."""

from keystead.kernel.principal import Method, Principal
from keystead.kernel.scopes import ROLE_SCOPES, Role
from tests.account.nodes import Node
from tests.web.settings.conftest import Open, here, house, opened, template
from tests.web.settings.visiting import Visit, visit

__all__ = ["Open", "here", "house", "opened", "template"]


async def join(node: Node, username: str, role: Role = Role.MEMBER, organization: str = "acme") -> str:
    """Add somebody to an organization, which is made when it is missing, and return their id."""
    accounts = node.house.services.accounts
    if organization != "acme":
        await accounts.create_organization(organization)
    return await accounts.create_user(
        username=username, email=f"{username}@example.com", organization=organization, role=role
    )


async def principal_of(node: Node, username: str = "ada", method: Method = Method.SESSION) -> Principal:
    """Return somebody in the organization that they joined first, with every scope of their role."""
    identity = await node.house.services.accounts.first_identity(username)
    return Principal(identity, method, ROLE_SCOPES[Role(identity.role)], "credential", None)


async def operator(node: Node) -> Visit:
    """Sign in root, who operates the installation and is a plain member of acme."""
    await node.house.services.accounts.create_user(
        username="root", email="root@example.com", organization="acme", platform_admin=True
    )
    return await visit(node, "root")
