import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { at, full, listAt, small, snapshots, type Json } from './template.ts'

const ingressOf = (snapshot: typeof small) =>
  at(snapshot.one('Microsoft.App/containerApps'), 'properties', 'configuration', 'ingress') as Json

describe('the network', () => {
  test('the environment is internal in both sets, without public access, and encrypts its own traffic', () => {
    for (const snapshot of snapshots) {
      const { properties } = snapshot.one('Microsoft.App/managedEnvironments')
      assert.equal(at(properties, 'vnetConfiguration', 'internal'), true)
      assert.equal(properties['publicNetworkAccess'], 'Disabled')
      assert.equal(at(properties, 'peerTrafficConfiguration', 'encryption', 'enabled'), true)
      assert.equal(at(properties, 'peerAuthentication', 'mtls', 'enabled'), true)
    }
  })

  test('the ingress is for apps of the environment; with callersInNetwork for the virtual network; never over http', () => {
    assert.equal(ingressOf(small)['external'], false)
    assert.equal(ingressOf(full)['external'], true)
    for (const snapshot of snapshots)
      assert.deepEqual([ingressOf(snapshot)['allowInsecure'], ingressOf(snapshot)['targetPort']], [false, 8080])
  })

  test('callers elsewhere in the network find the broker by private DNS, and only if they may call it', () => {
    assert.deepEqual(small.all('Microsoft.Network/privateDnsZones'), [])
    const records = full.all('Microsoft.Network/privateDnsZones/A')
    assert.equal(records.length, 2)
    for (const record of records)
      assert.match(
        String(listAt(record, 'properties', 'aRecords')[0]?.['ipv4Address']),
        /\.outputs\.staticIp\.value\]$/,
      )
    const linked = full.all('Microsoft.Network/privateDnsZones/virtualNetworkLinks').map(link =>
      String(at(link, 'properties', 'virtualNetwork', 'id'))
        .split('/')
        .at(-1),
    )
    assert.deepEqual(linked, ['spoke', 'hub'])
  })

  test('the public URL is the name that the ingress has', () => {
    const urlOf = (snapshot: typeof small) => String(snapshot.outputs['BROKER_URL'])
    assert.match(
      urlOf(small),
      /^\[format\('https:\/\/\{0\}', format\('\{0\}\.\{1\}\{2\}', 'token-broker', 'internal\.', .*defaultDomain/,
    )
    assert.match(
      urlOf(full),
      /^\[format\('https:\/\/\{0\}', format\('\{0\}\.\{1\}\{2\}', 'token-broker', '', .*defaultDomain/,
    )
  })

  test('a network that is created has a subnet of at least /27 for the environment, delegated to it', () => {
    const [environment, endpoints] = listAt(small.one('Microsoft.Network/virtualNetworks'), 'properties', 'subnets')
    assert.equal(at(environment, 'properties', 'addressPrefix'), '10.90.0.0/26')
    assert.equal(
      at(listAt(environment, 'properties', 'delegations')[0], 'properties', 'serviceName'),
      'Microsoft.App/environments',
    )
    assert.equal(at(endpoints, 'properties', 'addressPrefix'), '10.90.0.64/27')
  })

  test('its subnets admit https, the load balancer and the environment itself, and deny the rest', () => {
    const rulesOf = (name: string) =>
      listAt(small.one('Microsoft.Network/networkSecurityGroups', name), 'properties', 'securityRules')
    const rules = rulesOf('token-broker-environment')
    assert.deepEqual(
      rules.map(rule => [at(rule, 'properties', 'access'), at(rule, 'properties', 'sourceAddressPrefix')]),
      [
        ['Allow', 'VirtualNetwork'],
        ['Allow', '10.90.0.0/26'],
        ['Allow', 'AzureLoadBalancer'],
        ['Deny', '*'],
      ],
    )
    assert.deepEqual(at(rules[0], 'properties', 'destinationPortRanges'), ['443', '31443'])
    const priorities = rules.map(rule => Number(at(rule, 'properties', 'priority')))
    assert.deepEqual(
      priorities,
      priorities.toSorted((a, b) => a - b),
    )
    assert.equal(at(rulesOf('token-broker-endpoints').at(-1), 'properties', 'access'), 'Deny')
  })

  test('an existing network is used as it is', () => {
    assert.deepEqual(full.all('Microsoft.Network/virtualNetworks'), [])
    assert.match(
      String(
        at(full.one('Microsoft.App/managedEnvironments'), 'properties', 'vnetConfiguration', 'infrastructureSubnetId'),
      ),
      /\/virtualNetworks\/spoke\/subnets\/token-broker$/,
    )
  })
})

describe('Redis', () => {
  const database = full.one('Microsoft.Cache/redisEnterprise/databases')

  test('is left out by default', () => assert.deepEqual(small.all('Microsoft.Cache/redisEnterprise'), []))

  test("accepts the broker's identity and no access key, over TLS", () => {
    const { properties } = database
    assert.equal(properties['accessKeysAuthentication'], 'Disabled')
    assert.equal(properties['clientProtocol'], 'Encrypted')
    assert.equal(full.one('Microsoft.Cache/redisEnterprise').properties['minimumTlsVersion'], '1.2')
    const access = full.one('Microsoft.Cache/redisEnterprise/databases/accessPolicyAssignments')
    assert.match(access.name.split('/').at(-1) ?? '', /^[A-Za-z0-9]{1,60}$/)
    assert.match(String(at(access, 'properties', 'user', 'objectId')), /format\('identity-\{0\}'.*principalId/)
  })

  test('is reached through a private endpoint only', () => {
    assert.equal(full.one('Microsoft.Cache/redisEnterprise').properties['publicNetworkAccess'], 'Disabled')
    const [connection] = listAt(
      full.one('Microsoft.Network/privateEndpoints'),
      'properties',
      'privateLinkServiceConnections',
    )
    assert.deepEqual(at(connection, 'properties', 'groupIds'), ['redisEnterprise'])
    const [zone] = listAt(
      full.one('Microsoft.Network/privateEndpoints/privateDnsZoneGroups'),
      'properties',
      'privateDnsZoneConfigs',
    )
    assert.match(
      String(at(zone, 'properties', 'privateDnsZoneId')),
      /\/privateDnsZones\/privatelink\.redis\.azure\.net$/,
    )
  })

  test('removes the tokens that end first, and writes none to a disk', () => {
    assert.equal(database.properties['evictionPolicy'], 'VolatileTTL')
    assert.deepEqual(database.properties['persistence'], { aofEnabled: false, rdbEnabled: false })
  })
})
