import assert from 'node:assert/strict'
import { globSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { after, describe, test } from 'node:test'
import { bicepVersion, findBicep, openWorkshop, withoutBicep } from '../../scripts/infra/bicep.ts'
import { compile, compiledPaths } from '../../scripts/infra/compiled.ts'
import { packageRoot } from '../../src/service/package.ts'
import { read } from '../support/sources.ts'
import { at, type Json } from './template.ts'

const bicep = findBicep()
const workshop = bicep && (await openWorkshop(bicep))
after(() => workshop?.close())

const files = globSync('**/*.bicep', { cwd: join(packageRoot, 'infra') }).toSorted()

/** A set of parameters of the app's module alone, so that the whole of it can be predicted. */
const appWith = (changed: Readonly<Record<string, string>>): string => {
  const parameters = {
    location: "'westeurope'",
    name: "'token-broker'",
    tags: '{}',
    environmentId: "'/environment'",
    image: "'example/token-broker:1'",
    imageIsPublic: 'true',
    registryServer: "''",
    identityId: "'/identity'",
    pullIdentityId: "'/pull'",
    settings: "[{ name: 'LOG_LEVEL', value: 'info' }]",
    policy: "'rules: []'",
    cacheKeys: "''",
    hasCacheKeys: 'false',
    callersInNetwork: 'false',
    minReplicas: '2',
    maxReplicas: '4',
    cpu: "'0.5'",
    memory: "'1Gi'",
    terminationGracePeriodSeconds: '30',
    collectorImage: "''",
    collectorConfig: "''",
    ...changed,
  }
  const lines = Object.entries(parameters).map(([name, value]) => `param ${name} = ${value}`)
  return `using 'modules/app.bicep'\n${lines.join('\n')}\n`
}

describe('with the Bicep CLI', { skip: workshop === undefined && withoutBicep }, () => {
  test('everything compiles and lints without a warning: main.bicep with all modules', async () => {
    await workshop?.build('main.bicep')
    await workshop?.lint('main.bicep')
    const used = files.map(file => read(`infra/${file}`)).join('\n')
    for (const file of files.filter(each => each !== 'main.bicep'))
      assert.match(used, new RegExp(`'(?:modules/)?${basename(file)}'`))
  })

  test('the sources are formatted as the CLI formats them', async () => {
    assert.ok(workshop)
    await workshop.format()
    for (const file of [...files, 'main.bicepparam', 'full.bicepparam'])
      assert.equal(await readFile(join(workshop.folder, file), 'utf8'), read(`infra/${file}`), file)
  })

  test(
    'the compiled files are what the sources compile to: npm run infra writes them',
    { skip: bicep?.version !== bicepVersion && `they were compiled by Bicep ${bicepVersion}` },
    async () => {
      assert.ok(workshop)
      const compiled = await compile(workshop)
      assert.deepEqual([...compiled.keys()], compiledPaths)
      for (const [path, text] of compiled) assert.ok(text === read(path), `${path} differs`)
    },
  )

  const suffixOf = async (changed: Readonly<Record<string, string>>): Promise<string> => {
    assert.ok(workshop)
    await workshop.write('app.bicepparam', appWith(changed))
    const { predictedResources } = JSON.parse(await workshop.snapshot('app')) as { predictedResources: Json[] }
    const app = predictedResources.find(({ type }) => type === 'Microsoft.App/containerApps')
    return String(at(app, 'properties', 'template', 'revisionSuffix'))
  }

  test('everything that changes a revision changes its name, and nothing else does', async () => {
    const first = await suffixOf({})
    // The CLI does not evaluate secure parameters: they are arguments of the hash.
    for (const secret of ['policy', 'cacheKeys', 'collectorConfig'])
      assert.match(first, new RegExp(`^\\[format\\('r\\{0\\}', uniqueString\\(.*, parameters\\('${secret}'\\)`))
    assert.equal(await suffixOf({ tags: "{ owner: 'another' }", callersInNetwork: 'true' }), first)
    const changes = [
      { image: "'example/token-broker:2'" },
      { settings: "[{ name: 'LOG_LEVEL', value: 'debug' }]" },
      { hasCacheKeys: 'true' },
      { minReplicas: '3' },
      { cpu: "'1.0'" },
      { terminationGracePeriodSeconds: '40' },
      { collectorImage: "'example/otelcol@sha256:1'" },
      { collectorImage: "'example/otelcol@sha256:2'" },
    ]
    const suffixes = [first]
    for (const change of changes) suffixes.push(await suffixOf(change))
    assert.equal(new Set(suffixes).size, changes.length + 1)
  })

  test('before there is an image, an app without identity, secrets and ingress holds the place, and runs nothing', async () => {
    assert.ok(workshop)
    const { predictedResources } = JSON.parse(await workshop.snapshot('main')) as { predictedResources: Json[] }
    const apps = predictedResources.filter(({ type }) => String(type).startsWith('Microsoft.App/'))
    assert.deepEqual(
      apps.map(({ type }) => type),
      ['Microsoft.App/managedEnvironments', 'Microsoft.App/containerApps'],
    )
    const [, app = {}] = apps
    assert.equal(app['identity'], undefined)
    assert.equal(at(app, 'tags', 'azd-service-name'), 'broker')
    assert.deepEqual(at(app, 'properties', 'configuration'), { activeRevisionsMode: 'Single' })
    assert.equal(at(app, 'properties', 'template', 'scale', 'minReplicas'), 0)
  })
})
