# An older library: the identity protocol of 2017-09-01. MSI_ENDPOINT and MSI_SECRET select the broker or an agent.
import os

from msrestazure.azure_active_directory import MSIAuthentication

from show import show

# How the library recognises App Service. Without it, it sends no secret.
os.environ.setdefault("APPSETTING_WEBSITE_SITE_NAME", "any")


def get_token(scope):
    credential = MSIAuthentication(resource=scope.removesuffix("/.default"))
    credential.set_token()
    return credential.token["access_token"]


show(get_token)
