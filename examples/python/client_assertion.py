# Without the AZURE_ variables: the client assertion is the workload's own token.
import os
from pathlib import Path

from azure.identity import ClientAssertionCredential

from show import show

credential = ClientAssertionCredential(
    tenant_id=os.environ["TENANT"],
    client_id=os.environ["CLIENT_ID"],
    func=lambda: Path(os.environ["TOKEN_FILE"]).read_text().strip(),
    authority=os.environ["BROKER"],
    disable_instance_discovery=True,
)
show(lambda scope: credential.get_token(scope).token)
