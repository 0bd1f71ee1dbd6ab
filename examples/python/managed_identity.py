# The code does not mention the broker. IDENTITY_ENDPOINT and IDENTITY_HEADER select the broker or an agent.
from azure.identity import ManagedIdentityCredential

from show import show

credential = ManagedIdentityCredential()
show(lambda scope: credential.get_token(scope).token)
