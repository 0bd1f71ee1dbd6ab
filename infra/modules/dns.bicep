// Private DNS for callers outside the environment: every name of the environment's domain is the address of its ingress.
// A module of its own, because the name of the zone is known only after the environment is deployed.

@description('The environment\'s domain.')
param domain string

@description('Tags.')
param tags object

@description('Address of the environment\'s ingress.')
param address string

@description('Resource ids of the virtual networks whose callers resolve the names.')
param networkIds array

resource zone 'Microsoft.Network/privateDnsZones@2024-06-01' = {
  name: domain
  location: 'global'
  tags: tags
}

resource names 'Microsoft.Network/privateDnsZones/A@2024-06-01' = [
  for name in ['*', '@']: {
    parent: zone
    name: name
    properties: { ttl: 300, aRecords: [{ ipv4Address: address }] }
  }
]

resource links 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = [
  for id in networkIds: {
    parent: zone
    name: 'link-${uniqueString(id)}'
    location: 'global'
    tags: tags
    properties: { registrationEnabled: false, virtualNetwork: { id: id } }
  }
]
