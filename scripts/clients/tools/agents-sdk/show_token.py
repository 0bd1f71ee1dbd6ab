"""show_token.py SCOPE [SECONDS]: prints a token of Microsoft's Agents SDK, set up as docs/clients.md says. With
SECONDS, waits that long and prints another one. SIDECAR_URL selects the agent."""

import asyncio
import sys

from microsoft_agents.authentication.entra_auth_sidecar import SidecarAuth
from microsoft_agents.hosting.core import AgentAuthConfiguration

# The names of the scopes in the broker's policy.
NAMES = {
    "https://graph.microsoft.com/.default": "graph",
    "https://vault.azure.net/.default": "vault",
    "https://management.azure.com/.default": "arm",
}


async def main(scope: str, seconds: str | None = None) -> None:
    provider = SidecarAuth(AgentAuthConfiguration(SERVICE_NAME=NAMES[scope]))
    resource = scope.removesuffix("/.default")
    print(await provider.get_access_token(resource, [scope]))
    if seconds is not None:
        await asyncio.sleep(float(seconds))
        print(await provider.get_access_token(resource, [scope]))
    await provider.close()


asyncio.run(main(*sys.argv[1:]))
