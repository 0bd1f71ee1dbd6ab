import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseArgs } from 'node:util'
import { parsePolicy } from '../../src/broker/policy/file/parse.ts'
import { readTokenSettings } from '../../src/caller/token-settings.ts'
import { runCases } from '../../src/commands/policy-cases.ts'
import { tokenCommand } from '../../src/commands/token.ts'
import { read } from '../support/sources.ts'
import { at, full, listAt, small, snapshots, type Json } from './template.ts'

const appOf = (snapshot: typeof small) => snapshot.one('Microsoft.App/containerApps', 'token-broker')
const templateOf = (snapshot: typeof small) => at(appOf(snapshot), 'properties', 'template') as Json
const variable = (snapshot: typeof small, name: string): string =>
  String(listAt(templateOf(snapshot), 'containers', 0, 'env').find(each => each['name'] === name)?.['value'])

describe('the app', () => {
  test('runs at least two replicas, over zones', () => {
    assert.equal(at(templateOf(small), 'scale', 'minReplicas'), 2)
    for (const snapshot of snapshots) {
      assert.ok(Number(at(templateOf(snapshot), 'scale', 'minReplicas')) >= 2)
      assert.equal(snapshot.one('Microsoft.App/managedEnvironments').properties['zoneRedundant'], true)
    }
  })

  test('gets more time to end than it needs to drain and to finish the exchanges that run', () => {
    const exchangeSeconds = 5
    for (const snapshot of snapshots) {
      const grace = Number(at(templateOf(snapshot), 'terminationGracePeriodSeconds'))
      assert.ok(grace > Number(variable(snapshot, 'BROKER_DRAIN_SECONDS')) + exchangeSeconds + 2)
      // The most that Container Apps accepts.
      assert.ok(grace <= 600)
    }
  })

  test('has the probes of the broker, within what Container Apps accepts', () => {
    const probes = listAt(templateOf(small), 'containers', 0, 'probes')
    assert.deepEqual(
      probes.map(({ type, httpGet }) => [type, at(httpGet, 'path'), at(httpGet, 'port')]),
      [
        ['Startup', '/livez', 8080],
        ['Liveness', '/livez', 8080],
        ['Readiness', '/readyz', 8080],
      ],
    )
    for (const { failureThreshold, periodSeconds, timeoutSeconds = 1 } of probes) {
      assert.ok(Number(failureThreshold) >= 1 && Number(failureThreshold) <= 10)
      for (const seconds of [periodSeconds, timeoutSeconds]) assert.ok(Number(seconds) >= 1 && Number(seconds) <= 240)
    }
    // A replica that drains is taken out of service before it stops to accept connections.
    const [, , ready] = probes
    assert.ok(Number(ready?.['periodSeconds']) * Number(ready?.['failureThreshold']) < 10)
  })

  test('replaces a revision only by one that is ready, and names it by its content', () => {
    for (const snapshot of snapshots) {
      const configuration = at(appOf(snapshot), 'properties', 'configuration')
      assert.equal(at(configuration, 'activeRevisionsMode'), 'Single')
      assert.match(String(at(templateOf(snapshot), 'revisionSuffix')), /^\[format\('r\{0\}', uniqueString\(/)
    }
  })

  test('is the first container, whose image azd replaces', () => {
    for (const snapshot of snapshots) assert.equal(at(templateOf(snapshot), 'containers', 0, 'name'), 'token-broker')
    assert.equal(appOf(small).tags?.['azd-service-name'], 'broker')
  })
})

describe('the doctor', () => {
  test('runs as the broker does: image, identity, variables and files', () => {
    for (const snapshot of snapshots) {
      const [job, app] = [snapshot.one('Microsoft.App/jobs', 'token-broker-doctor'), appOf(snapshot)]
      const ofJob = listAt(job, 'properties', 'template', 'containers')[0] ?? {}
      const ofApp = listAt(app, 'properties', 'template', 'containers')[0] ?? {}
      for (const key of ['image', 'env', 'volumeMounts']) assert.deepEqual(ofJob[key], ofApp[key], key)
      assert.deepEqual(at(job, 'identity'), at(app, 'identity'))
      assert.deepEqual(listAt(job, 'properties', 'template', 'volumes')[0], listAt(templateOf(snapshot), 'volumes')[0])
    }
  })

  test('runs once when it is started, and its first result counts', () => {
    const job = full.one('Microsoft.App/jobs', 'token-broker-doctor')
    const configuration = at(job, 'properties', 'configuration') as Json
    assert.deepEqual([configuration['triggerType'], configuration['replicaRetryLimit']], ['Manual', 0])
    const tenant = '40000000-0000-4000-8000-000000000001'
    assert.deepEqual(at(job, 'properties', 'template', 'containers', 0, 'args'), ['doctor', '--tenant', tenant])
  })
})

describe('the first caller', () => {
  const argumentsOf = (snapshot: typeof small) => {
    const job = snapshot.one('Microsoft.App/jobs', 'token-broker-first-caller')
    return at(job, 'properties', 'template', 'containers', 0, 'args') as string[]
  }
  const isKnownLater = (word: string): boolean => word.startsWith('[')

  test('is the command token with options that it accepts', () => {
    for (const snapshot of snapshots) {
      const [command, ...words] = argumentsOf(snapshot)
      assert.equal(command, 'token')
      const options = Object.fromEntries(
        Object.entries(tokenCommand.options).map(([name, { type }]) => [name, { type }] as const),
      )
      const { values } = parseArgs({ args: words.map(word => (isKnownLater(word) ? 'known-later' : word)), options })
      const given = { ...values, broker: 'https://broker.example', 'client-id': '50000000-0000-4000-8000-000000000001' }
      const platform = { IDENTITY_ENDPOINT: 'http://localhost:42356/msi/token', IDENTITY_HEADER: 'a-header' }
      const { requested, output } = readTokenSettings(given, platform)
      assert.equal(requested.tenant, 'home')
      assert.equal(output, 'summary', 'what a job prints is in the log')
    }
  })

  test("requests the token as itself, for the broker's API", () => {
    const after = (option: string) => argumentsOf(small)[argumentsOf(small).indexOf(option) + 1] ?? ''
    assert.match(after('--client-id'), /format\('callerIdentity-\{0\}'.*\.outputs\.clientId\.value\]$/)
    assert.match(after('--audience'), /format\('entra-\{0\}'.*\.outputs\.apiClientId\.value\]$/)
    assert.equal(after('--broker'), small.outputs['BROKER_URL'])
  })

  test('requests what the policy grants it', () => {
    for (const snapshot of snapshots) {
      const [name, oid] =
        snapshot === small ? ['policy.yaml', 'any'] : ['full-policy.yaml', '70000000-0000-4000-8000-000000000001']
      const policy = parsePolicy(read(`infra/${name}`))
      const words = argumentsOf(snapshot)
      const [tenant = '', scope = ''] = ['--tenant', '--scope'].map(option => words[words.indexOf(option) + 1])
      const caller = { issuer: 'entra', subject: 'x', claims: { azp: 'x', roles: ['Broker.Tokens'], oid } }
      const homeTenant = policy.tenants.get('home') ?? ''
      const [outcome] = runCases(policy, { homeTenant, cases: [{ caller, tenant, scope, expect: 'granted' }] }, 0)
      assert.equal(outcome?.wrong, undefined)
    }
  })
})

describe('logs', () => {
  const settings = 'Microsoft.Insights/diagnosticSettings'

  test('of everything that has some go to the workspace', () => {
    const scopesOf = (snapshot: typeof small) =>
      new Set(snapshot.all(settings).map(({ id }) => /providers\/([\w.]+\/\w+)/.exec(id)?.[1] ?? ''))
    assert.deepEqual(
      scopesOf(small),
      new Set(['Microsoft.ContainerRegistry/registries', 'Microsoft.App/managedEnvironments']),
    )
    assert.deepEqual(scopesOf(full), new Set(['Microsoft.App/managedEnvironments', 'Microsoft.Cache/redisEnterprise']))
    for (const snapshot of snapshots)
      for (const { properties } of snapshot.all(settings)) {
        assert.ok(properties['workspaceId'])
        for (const log of listAt(properties, 'logs')) assert.equal(log['enabled'], true)
      }
  })

  test('reach it without its shared key, which it does not accept', () => {
    for (const snapshot of snapshots)
      assert.equal(
        at(snapshot.one('Microsoft.App/managedEnvironments'), 'properties', 'appLogsConfiguration', 'destination'),
        'azure-monitor',
      )
    const workspace = small.one('Microsoft.OperationalInsights/workspaces')
    assert.equal(at(workspace, 'properties', 'features', 'disableLocalAuth'), true)
    assert.equal(workspace.properties['retentionInDays'], 90)
  })
})

test('every resource that can have tags has them', () => {
  const without =
    /\/(?:locks|diagnosticSettings|roleAssignments|A|databases|accessPolicyAssignments|privateDnsZoneGroups)$/
  for (const { resources } of snapshots)
    for (const { type, tags, name } of resources.filter(each => !each.type.startsWith('Microsoft.Graph')))
      if (!without.test(type)) assert.ok(Object.keys(tags ?? {}).length > 0, `${type} ${name}`)
})
