# Set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_FEDERATED_TOKEN_FILE as on AKS. Then set AZURE_AUTHORITY_HOST to
# the broker, or AZURE_KUBERNETES_TOKEN_PROXY and AZURE_KUBERNETES_CA_FILE, which is AKS's token proxy.
from azure.identity import WorkloadIdentityCredential

from show import show

credential = WorkloadIdentityCredential(disable_instance_discovery=True, enable_azure_proxy=True)
show(lambda scope: credential.get_token(scope).token)
