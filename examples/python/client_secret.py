# AZURE_CLIENT_SECRET is an API key of the broker, and AZURE_AUTHORITY_HOST the broker.
from azure.identity import EnvironmentCredential

from show import show

credential = EnvironmentCredential(disable_instance_discovery=True)
show(lambda scope: credential.get_token(scope).token)
