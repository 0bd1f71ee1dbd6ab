import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parameterSets } from '../../scripts/infra/compiled.ts'
import { read } from '../support/sources.ts'
import { at, full, listAt, small, snapshots, templates } from './template.ts'

const secretNames = ['policy', 'cacheKeys', 'collectorConfig']

describe('secrets', () => {
  test('are secure parameters in every template that they pass through, without a default of their own', () => {
    const found = templates.flatMap(({ path, parameters }) =>
      secretNames.flatMap(name => {
        const parameter = parameters[name]
        if (parameter === undefined) return []
        assert.equal(parameter.type, 'securestring', `${path}: ${name}`)
        return [name]
      }),
    )
    // main.bicep has all three; the app too; a job has two.
    assert.deepEqual([...new Set(found)].toSorted(), secretNames.toSorted())
    assert.ok(found.length >= 8)
  })

  test('are in no output of any template', () => {
    for (const { path, outputs } of templates)
      for (const [name, { type, value }] of Object.entries(outputs)) {
        assert.ok(['string', 'array', 'object', 'int', 'bool'].includes(type), `${path}: ${name}`)
        assert.doesNotMatch(
          String(value),
          /list\w*\(|getSecret|policy|cacheKeys|collectorConfig|keyRing/i,
          `${path}: ${name}`,
        )
      }
  })

  test('are in no predicted resource: their values are parameters, and only as secrets of an app or a job', () => {
    for (const { text } of snapshots)
      for (const secret of [
        ...Object.values(parameterSets['full'] ?? {}),
        'callers read the directory of the home tenant',
        'billing reads the directory of its customers',
      ])
        assert.ok(!text.includes(secret), secret)
    const values = snapshots.flatMap(({ resources }) =>
      resources
        .filter(({ type }) => type === 'Microsoft.App/containerApps' || type === 'Microsoft.App/jobs')
        .flatMap(each => listAt(each, 'properties', 'configuration', 'secrets')),
    )
    assert.equal(values.length, 7)
    for (const { value } of values) assert.match(String(value), /parameters\('(policy|cacheKeys|collectorConfig)'\)/)
  })

  test('the policy is a file of a secret volume, whose text is one of the arguments of the revision', () => {
    for (const snapshot of snapshots) {
      const template = at(snapshot.one('Microsoft.App/containerApps', 'token-broker'), 'properties', 'template')
      const [volume] = listAt(template, 'volumes')
      assert.equal(volume?.['storageType'], 'Secret')
      assert.deepEqual(listAt(volume, 'secrets')[0], { secretRef: 'policy', path: 'policy.yaml' })
      assert.match(
        String(at(template, 'revisionSuffix')),
        /^\[format\('r\{0\}', uniqueString\(.*parameters\('policy'\)/,
      )
    }
  })

  test('the key ring is a secret that only the full set has', () => {
    const namesOf = (snapshot: typeof small) =>
      listAt(snapshot.one('Microsoft.App/containerApps'), 'properties', 'configuration', 'secrets').map(
        ({ name }) => name,
      )
    assert.deepEqual(namesOf(small), ['policy'])
    assert.deepEqual(namesOf(full), ['policy', 'cache-keys', 'collector-config'])
    assert.match(read('infra/main.bicep'), /redis && empty\(cacheKeys\) \? fail\(/)
  })

  test('no variable of a container has a secret', () => {
    for (const { resources } of snapshots)
      for (const resource of resources.filter(({ type }) => /Microsoft\.App\/(?:containerApps|jobs)/.test(type)))
        for (const container of listAt(resource, 'properties', 'template', 'containers'))
          for (const variable of (container['env'] ?? []) as object[]) {
            assert.deepEqual(Object.keys(variable), ['name', 'value'])
            assert.doesNotMatch(JSON.stringify(variable), /parameters\('(policy|cacheKeys|collectorConfig)'\)/)
          }
  })
})

test('a policy with a placeholder that nothing replaces is refused', () =>
  assert.match(read('infra/main.bicep'), /!registrations && contains\(policy, placeholders\.application\)\s+\? fail\(/))

describe('the collector', () => {
  test('is left out unless its image is set: Container Apps manages an agent in preview versions of its API only', () => {
    const containersOf = (snapshot: typeof small) =>
      listAt(snapshot.one('Microsoft.App/containerApps'), 'properties', 'template', 'containers').map(
        ({ name }) => name,
      )
    assert.deepEqual(containersOf(small), ['token-broker'])
    assert.deepEqual(containersOf(full), ['token-broker', 'collector'])
    for (const { resources } of snapshots)
      for (const { type, apiVersion } of resources.filter(each => each.type.startsWith('Microsoft.App/')))
        assert.doesNotMatch(String(apiVersion), /preview/, type)
  })

  test("must be pinned by digest, because it can use the broker's identity", () =>
    assert.match(read('infra/main.bicep'), /contains\(collectorImage, '@sha256:'\)\n\s+\? collectorImage\n\s+: fail\(/))

  test("cannot read the broker's files", () => {
    const [broker, collector] = listAt(full.one('Microsoft.App/containerApps'), 'properties', 'template', 'containers')
    assert.deepEqual(broker?.['volumeMounts'], [{ volumeName: 'files', mountPath: '/etc/token-broker' }])
    assert.deepEqual(collector?.['volumeMounts'], [{ volumeName: 'collector', mountPath: '/etc/otelcol' }])
  })
})
