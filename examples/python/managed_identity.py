# IDENTITY_ENDPOINT and IDENTITY_HEADER lead to the broker or to an agent; nothing here knows.
from azure.identity import ManagedIdentityCredential

from show import show

credential = ManagedIdentityCredential()
show(lambda scope: credential.get_token(scope).token)
