import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { at, full, listAt, small, snapshots } from './template.ts'

const identityType = 'Microsoft.ManagedIdentity/userAssignedIdentities'
const [appType, jobType] = ['Microsoft.App/containerApps', 'Microsoft.App/jobs']
const groupOf = (id: string): string => /\/resourceGroups\/([^/]+)/.exec(id)?.[1] ?? ''

for (const snapshot of snapshots)
  describe(`who can use which identity, with the ${snapshot === small ? 'small' : 'full'} set of parameters`, () => {
    const broker = snapshot.one(identityType, 'token-broker')
    const others = ['token-broker-pull', 'token-broker-first-caller'].map(name => snapshot.one(identityType, name))
    const app = snapshot.one(appType, 'token-broker')

    test("the broker's identity is alone in its resource group, and has a lock against deletion", () => {
      const inGroup = snapshot.resources.filter(
        each => groupOf(each.id) === groupOf(broker.id) && !each.type.endsWith('/resourceGroups'),
      )
      assert.deepEqual(
        inGroup.map(({ type, name }) => [type, name]),
        [
          [identityType, 'token-broker'],
          ['Microsoft.Authorization/locks', 'token-broker-keep'],
        ],
      )
      assert.equal(inGroup[1]?.properties['level'], 'CanNotDelete')
      assert.ok(inGroup[1].id.startsWith(`${broker.id}/`))
      for (const other of others) assert.notEqual(groupOf(other.id), groupOf(broker.id))
    })

    test('another identity pulls the image, and no container gets its tokens', () => {
      for (const each of [app, ...snapshot.all(jobType)]) {
        const [own, puller, ...more] = listAt(each, 'properties', 'configuration', 'identitySettings')
        assert.equal(more.length, 0)
        const isCaller = each.name === 'token-broker-first-caller'
        assert.match(
          String(own?.['identity']),
          isCaller ? /format\('callerIdentity-\{0\}'/ : /format\('identity-\{0\}'/,
        )
        assert.equal(own?.['lifecycle'], 'Main')
        assert.match(String(puller?.['identity']), /format\('pullIdentity-\{0\}'/)
        assert.equal(puller?.['lifecycle'], 'None')
        const [registry] = listAt(each, 'properties', 'configuration', 'registries')
        assert.equal(registry?.['identity'], puller['identity'])
        // An identity that is assigned, but not in identitySettings, would be available to every container.
        assert.equal(Object.keys(at(each, 'identity', 'userAssignedIdentities') as object).length, 2)
      }
    })

    test("only the pull identity has a role, and only on the registry: the broker's identity has none in Azure", () => {
      const [assignment, ...more] = snapshot.all('Microsoft.Authorization/roleAssignments')
      assert.equal(more.length, 0)
      assert.match(String(assignment?.properties['principalId']), /format\('pullIdentity-\{0\}'.*principalId/)
      assert.match(String(assignment?.id), /extensionResourceId\('[^']+Microsoft\.ContainerRegistry\/registries\/\w+'/)
    })

    test('the identity is the user-assigned one that the broker is configured with', () => {
      const env = listAt(app, 'properties', 'template', 'containers', 0, 'env')
      const clientId = env.find(({ name }) => name === 'BROKER_IDENTITY_CLIENT_ID')?.['value']
      assert.match(String(clientId), /format\('identity-\{0\}'.*\.outputs\.clientId\.value\]$/)
      assert.equal(at(app, 'identity', 'type'), 'UserAssigned')
    })
  })

test('a registry with attribute-based access control gets the role that works there, for one repository', () => {
  const roleOf = (snapshot: typeof small) => snapshot.one('Microsoft.Authorization/roleAssignments').properties
  assert.match(String(roleOf(small)['roleDefinitionId']), /7f951dda-4ed3-4680-a7ca-43fe172d538d$/)
  assert.match(String(roleOf(full)['roleDefinitionId']), /b93aa761-3e63-49ed-ac28-beffa264f7ac$/)
  assert.match(String(roleOf(full)['condition']), /repositories:name\] StringEquals 'token-broker'/)
})

describe('the registrations in Entra', () => {
  const [application, api] = small.all('Microsoft.Graph/applications@v1.0')

  test('the multi-tenant application has the identity as its only credential, and customers cannot add one', () => {
    assert.ok(application)
    const { properties } = application
    assert.equal(properties['signInAudience'], 'AzureADMultipleOrgs')
    assert.deepEqual(properties['servicePrincipalLockConfiguration'], { isEnabled: true, allProperties: true })
    for (const kind of ['keyCredentials', 'passwordCredentials']) assert.equal(properties[kind], undefined)
    const { properties: credential } = small.one('Microsoft.Graph/applications/federatedIdentityCredentials@v1.0')
    assert.match(
      String(credential['issuer']),
      /^\[format\('\{0\}\{1\}\/v2\.0', .*'00000000-0000-4000-8000-0000000000f2'\)\]$/,
    )
    assert.match(String(credential['subject']), /format\('identity-\{0\}'.*\.outputs\.principalId\.value\]$/)
    assert.equal(listAt(credential, 'audiences').length, 1)
  })

  test('the API has v2.0 tokens and roles for applications only, and Entra requires a role', () => {
    assert.ok(api)
    assert.equal(at(api, 'properties', 'api', 'requestedAccessTokenVersion'), 2)
    assert.equal(api.properties['signInAudience'], 'AzureADMyOrg')
    const roles = listAt(api, 'properties', 'appRoles')
    assert.deepEqual(
      roles.map(({ value, allowedMemberTypes }) => [value, allowedMemberTypes]),
      [
        ['Broker.Tokens', ['Application']],
        ['Broker.Observe', ['Application']],
      ],
    )
    const [, principal] = small.all('Microsoft.Graph/servicePrincipals@v1.0')
    assert.equal(principal?.properties['appRoleAssignmentRequired'], true)
  })

  test('the first caller gets the role that lets it request tokens, and no other', () => {
    const [assignment, ...more] = small.all('Microsoft.Graph/appRoleAssignedTo@v1.0')
    assert.equal(more.length, 0)
    assert.match(
      String(assignment?.properties['principalId']),
      /format\('callerIdentity-\{0\}'.*\.outputs\.principalId\.value\]$/,
    )
    assert.ok(api)
    const [tokens] = listAt(api, 'properties', 'appRoles')
    assert.equal(assignment?.properties['appRoleId'], tokens?.['id'])
  })

  test('without registrations = true nothing is written to Entra', () =>
    assert.deepEqual(
      full.resources.filter(({ type }) => type.startsWith('Microsoft.Graph')),
      [],
    ))
})
