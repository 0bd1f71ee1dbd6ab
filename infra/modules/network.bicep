// The virtual network, with one subnet for the environment and one for private endpoints.

@description('Region.')
param location string

@description('Name of the network, and the beginning of its security groups\' names.')
param name string

@description('Tags.')
param tags object

@description('Address range of the network, at least a /24.')
param addressPrefix string

resource environmentRules 'Microsoft.Network/networkSecurityGroups@2025-01-01' = {
  name: '${name}-environment'
  location: location
  tags: tags
  properties: {
    securityRules: [
      {
        name: 'AllowHttpsFromNetwork'
        properties: {
          description: 'The ingress, by its own port and by that of its load balancer.'
          priority: 100
          direction: 'Inbound'
          access: 'Allow'
          protocol: 'Tcp'
          sourceAddressPrefix: 'VirtualNetwork'
          sourcePortRange: '*'
          destinationAddressPrefix: cidrSubnet(addressPrefix, 26, 0)
          destinationPortRanges: ['443', '31443']
        }
      }
      {
        name: 'AllowInsideEnvironment'
        properties: {
          description: 'Replicas, and the ingress in front of them.'
          priority: 110
          direction: 'Inbound'
          access: 'Allow'
          protocol: '*'
          sourceAddressPrefix: cidrSubnet(addressPrefix, 26, 0)
          sourcePortRange: '*'
          destinationAddressPrefix: cidrSubnet(addressPrefix, 26, 0)
          destinationPortRange: '*'
        }
      }
      {
        name: 'AllowLoadBalancer'
        properties: {
          description: 'The load balancer\'s probes.'
          priority: 120
          direction: 'Inbound'
          access: 'Allow'
          protocol: 'Tcp'
          sourceAddressPrefix: 'AzureLoadBalancer'
          sourcePortRange: '*'
          destinationAddressPrefix: cidrSubnet(addressPrefix, 26, 0)
          destinationPortRange: '30000-32767'
        }
      }
      {
        name: 'DenyOtherInbound'
        properties: {
          description: 'Also from other subnets of the network, which the default rules would allow.'
          priority: 4000
          direction: 'Inbound'
          access: 'Deny'
          protocol: '*'
          sourceAddressPrefix: '*'
          sourcePortRange: '*'
          destinationAddressPrefix: '*'
          destinationPortRange: '*'
        }
      }
    ]
  }
}

resource endpointRules 'Microsoft.Network/networkSecurityGroups@2025-01-01' = {
  name: '${name}-endpoints'
  location: location
  tags: tags
  properties: {
    securityRules: [
      {
        name: 'AllowEnvironment'
        properties: {
          description: 'The broker reaches Redis.'
          priority: 100
          direction: 'Inbound'
          access: 'Allow'
          protocol: 'Tcp'
          sourceAddressPrefix: cidrSubnet(addressPrefix, 26, 0)
          sourcePortRange: '*'
          destinationAddressPrefix: cidrSubnet(addressPrefix, 27, 2)
          // The ports of single nodes are used with the cluster policy OSSCluster.
          destinationPortRanges: ['10000', '8500-8599']
        }
      }
      {
        name: 'DenyOtherInbound'
        properties: {
          description: 'Nothing else in the network reaches Redis.'
          priority: 4000
          direction: 'Inbound'
          access: 'Deny'
          protocol: '*'
          sourceAddressPrefix: '*'
          sourcePortRange: '*'
          destinationAddressPrefix: '*'
          destinationPortRange: '*'
        }
      }
    ]
  }
}

resource network 'Microsoft.Network/virtualNetworks@2025-01-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    addressSpace: { addressPrefixes: [addressPrefix] }
    subnets: [
      {
        name: 'environment'
        properties: {
          addressPrefix: cidrSubnet(addressPrefix, 26, 0)
          networkSecurityGroup: { id: environmentRules.id }
          delegations: [
            { name: 'container-apps', properties: { serviceName: 'Microsoft.App/environments' } }
          ]
        }
      }
      {
        name: 'endpoints'
        properties: {
          addressPrefix: cidrSubnet(addressPrefix, 27, 2)
          networkSecurityGroup: { id: endpointRules.id }
          privateEndpointNetworkPolicies: 'Enabled'
        }
      }
    ]
  }
}

@description('Resource id of the network.')
output id string = network.id

@description('Resource id of the environment\'s subnet.')
output infrastructureSubnetId string = '${network.id}/subnets/environment'

@description('Resource id of the subnet for private endpoints.')
output endpointSubnetId string = '${network.id}/subnets/endpoints'
