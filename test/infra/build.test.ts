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

const appParameters = {
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
}

/** A deployment of several apps, each with other parameters of the app's module. One prediction is enough for all. */
function appsWith(changes: readonly Readonly<Partial<typeof appParameters>>[]): string {
  const modules = changes.map((changed, nth) => {
    const parameters = Object.entries({ ...appParameters, name: `'app-${nth}'`, ...changed })
    return `module app${nth} 'modules/app.bicep' = {
  params: {
${parameters.map(([name, value]) => `    ${name}: ${value}`).join('\n')}
  }
}`
  })
  return `${modules.join('\n')}\n`
}

/** A run of the CLI takes three seconds of CPU time. On a busy machine it can take ten times as long. */
const patient = { timeout: 900_000 }

describe('with the Bicep CLI', { skip: workshop === undefined && withoutBicep, ...patient }, () => {
  const compiling = workshop && compile(workshop)
  // Each test that awaits it reports the failure.
  compiling?.catch(() => undefined)

  test(
    'main.bicep compiles with all modules, without a warning of the compiler or of the linter',
    patient,
    async () => {
      await compiling
      const used = files.map(file => read(`infra/${file}`)).join('\n')
      for (const file of files.filter(each => each !== 'main.bicep'))
        assert.match(used, new RegExp(`'(?:modules/)?${basename(file)}'`))
    },
  )

  test('the sources are formatted as the CLI formats them', patient, async () => {
    assert.ok(workshop)
    await workshop.format()
    for (const file of [...files, 'main.bicepparam', 'full.bicepparam'])
      assert.equal(await readFile(join(workshop.folder, file), 'utf8'), read(`infra/${file}`), file)
  })

  test(
    'the compiled files are what the sources compile to: npm run infra writes them',
    { skip: bicep?.version !== bicepVersion && `they were compiled by Bicep ${bicepVersion}`, ...patient },
    async () => {
      const compiled = (await compiling) ?? new Map<string, string>()
      assert.deepEqual([...compiled.keys()], compiledPaths)
      for (const [path, text] of compiled) assert.ok(text === read(path), `${path} differs`)
    },
  )

  test('everything that changes a revision changes its name, and nothing else does', patient, async () => {
    assert.ok(workshop)
    const changes = [
      {},
      { image: "'example/token-broker:2'" },
      { settings: "[{ name: 'LOG_LEVEL', value: 'debug' }]" },
      { hasCacheKeys: 'true' },
      { minReplicas: '3' },
      { cpu: "'1.0'" },
      { terminationGracePeriodSeconds: '40' },
      { collectorImage: "'example/otelcol@sha256:1'" },
      { collectorImage: "'example/otelcol@sha256:2'" },
    ]
    const unchanging = [{ tags: "{ owner: 'another' }" }, { callersInNetwork: 'true' }, { registryServer: "'another'" }]
    await workshop.write('apps.bicep', appsWith([...changes, ...unchanging]))
    await workshop.write('apps.bicepparam', "using 'apps.bicep'\n")
    const { predictedResources } = JSON.parse(await workshop.snapshot('apps')) as { predictedResources: Json[] }
    const suffixes = predictedResources.map(each => String(at(each, 'properties', 'template', 'revisionSuffix')))
    // The CLI does not evaluate secure parameters: they are arguments of the hash.
    for (const secret of ['policy', 'cacheKeys', 'collectorConfig'])
      assert.match(
        suffixes[0] ?? '',
        new RegExp(`^\\[format\\('r\\{0\\}', uniqueString\\(.*, parameters\\('${secret}'\\)`),
      )
    assert.equal(new Set(suffixes.slice(0, changes.length)).size, changes.length)
    assert.deepEqual([...new Set(suffixes.slice(changes.length))], [suffixes[0]])
  })

  test(
    'with dashboardSignIn, the page is a public client of the API, and the broker gets its client id',
    patient,
    async () => {
      assert.ok(workshop)
      const parameters = read('infra/main.bicepparam').replace(
        /^param dashboardSignIn = .*$/m,
        'param dashboardSignIn = true',
      )
      await workshop.write('dashboard.bicepparam', parameters)
      const { predictedResources } = JSON.parse(
        await workshop.snapshot('dashboard', { SERVICE_BROKER_IMAGE_NAME: 'example/token-broker:1' }),
      ) as { predictedResources: Json[] }
      const of = (type: string) => predictedResources.filter(each => each['type'] === type)
      const client = of('Microsoft.Graph/applications@v1.0').find(
        each => at(each, 'properties', 'uniqueName') === 'token-broker-dashboard',
      )
      assert.match(
        String(at(client, 'properties', 'spa', 'redirectUris', 0)),
        /^\[format\('https:\/\/\{0\}\/dashboard', /,
      )
      assert.equal(at(client, 'properties', 'signInAudience'), 'AzureADMyOrg')
      const [grant] = of('Microsoft.Graph/oauth2PermissionGrants@v1.0')
      assert.deepEqual(
        ['consentType', 'scope', 'resourceId'].map(key => at(grant, 'properties', key)),
        ['AllPrincipals', 'Broker.Dashboard', "[reference('apiPrincipal').id]"],
      )
      const [app] = of('Microsoft.App/containerApps')
      const env = at(app, 'properties', 'template', 'containers', 0, 'env') as Json[]
      const { value } = env.find(each => each['name'] === 'BROKER_DASHBOARD_CLIENT_ID') ?? {}
      assert.match(String(value), /format\('entra-\{0\}'.*\.outputs\.dashboardClientId\.value\]$/)
    },
  )

  test('parameters that contradict each other are refused before anything is deployed', patient, async () => {
    assert.ok(workshop)
    const parameters = read('infra/main.bicepparam')
    const refused: readonly (readonly [added: string, error: RegExp])[] = [
      ["param collectorImage = 'example/otelcol:1'\nparam collectorConfig = 'x'", /collectorImage requires a digest/],
      [
        "param redis = true\nparam cacheKeys = 'x'\nparam infrastructureSubnetId = '/a/subnets/b'",
        /requires endpointSubnetId/,
      ],
      ['param dashboardSignIn = true\nparam registrations = false', /dashboardSignIn requires registrations/],
      ['param firstCaller = true\nparam registrations = false', /firstCaller requires apiClientId, or registrations/],
    ]
    for (const [added, error] of refused) {
      const names = [...added.matchAll(/^param (\w+)/gm)].map(([, name]) => name)
      const others = parameters.replaceAll(new RegExp(`^param (?:${names.join('|')}) = .*$`, 'gm'), '')
      await workshop.write('refused.bicepparam', `${others}${added}\n`)
      await assert.rejects(workshop.snapshot('refused', { SERVICE_BROKER_IMAGE_NAME: 'example/token-broker:1' }), error)
    }
  })

  test(
    'before there is an image, an app without identity, secrets and ingress holds the place, and runs nothing',
    patient,
    async () => {
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
    },
  )
})
