# AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_FEDERATED_TOKEN_FILE as on AKS, and AZURE_AUTHORITY_HOST, the broker; or,
# with AZURE_KUBERNETES_TOKEN_PROXY and AZURE_KUBERNETES_CA_FILE, through what AKS calls a token proxy.
from azure.identity import WorkloadIdentityCredential

from show import show

credential = WorkloadIdentityCredential(disable_instance_discovery=True, enable_azure_proxy=True)
show(lambda scope: credential.get_token(scope).token)
