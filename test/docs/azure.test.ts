import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { describe, test } from 'node:test'
import { parseArgs } from 'node:util'
import { parse } from 'yaml'
import { sample } from '../../emulator/options.ts'
import { parsePolicy } from '../../src/broker/policy/file/parse.ts'
import { readTokenSettings } from '../../src/caller/token-settings.ts'
import { doctorCommand } from '../../src/commands/doctor.ts'
import { tokenCommand } from '../../src/commands/token.ts'
import { readConfig } from '../../src/config/config.ts'
import { errorTable } from '../../src/errors.ts'
import { startWorld } from '../support/broker.ts'
import { reasons } from '../support/reasons.ts'
import { blocksOf, sectionOf } from './tables.ts'
import { read } from '../support/sources.ts'

const page = read('docs/azure.md')
const scripts = blocksOf(page, 'sh')

describe('the command lines of docs/azure.md', () => {
  test('are shell', () => {
    for (const script of scripts) {
      const { status, stderr } = spawnSync('sh', ['-n'], { input: script, encoding: 'utf8' })
      assert.equal(status, 0, stderr)
    }
  })

  test('set every variable before they use it; the platform sets two', () => {
    const set = new Set(['IDENTITY_ENDPOINT', 'IDENTITY_HEADER'])
    for (const line of scripts.join('').split('\n')) {
      for (const [, name = ''] of line.matchAll(/\$([A-Z_]+)/g)) assert.ok(set.has(name), `${name} in: ${line}`)
      const assigned = /^([A-Z_]+)=/.exec(line)?.[1]
      if (assigned !== undefined) set.add(assigned)
    }
  })
})

/** A file that the page writes, as the shell would write it. A variable without a literal value on the page is a GUID. */
function written(name: string, valueOf = valueOnPage): string {
  const text = new RegExp(`^cat > ${name} <<END\n([\\s\\S]*?)^END$`, 'm').exec(page)?.[1] ?? ''
  return text
    .replace(/^\$\(sed .*\)$/m, () => written('policy.yaml').replace(/^/gm, ' '.repeat(10)))
    .replace(/\$([A-Z_]+)/g, valueOf)
}

function valueOnPage(_: string, key: string): string {
  const plain = new Map([...page.matchAll(/^([A-Z_]+)=([\w/.-]+)$/gm)].map(([, name, value]) => [name, value]))
  // Another GUID for each name.
  const sum = key.split('').reduce((total, letter) => (total * 31 + letter.charCodeAt(0)) % 65_536, 0)
  return plain.get(key) ?? sample.application.slice(0, -4) + sum.toString(16).padStart(4, '0')
}

interface Identities {
  readonly identity: { readonly userAssignedIdentities: Readonly<Record<string, object>> }
  readonly properties: {
    readonly configuration: {
      readonly identitySettings: readonly { readonly identity: string; readonly lifecycle: string }[]
      readonly registries: readonly { readonly identity: string }[]
    }
  }
}

interface Job extends Identities {
  readonly properties: Identities['properties'] & {
    readonly template: { readonly containers: readonly { readonly args: readonly string[] }[] }
  }
}

interface ContainerApp {
  readonly properties: {
    readonly configuration: {
      readonly ingress: { readonly targetPort: number; readonly allowInsecure: boolean }
      readonly secrets: readonly { readonly name: string; readonly value: string }[]
    }
    readonly template: {
      readonly terminationGracePeriodSeconds: number
      readonly containers: readonly {
        readonly env: readonly { readonly name: string; readonly value: string }[]
        readonly probes: readonly { readonly httpGet: { readonly path: string; readonly port: number } }[]
        readonly volumeMounts: readonly { readonly mountPath: string }[]
      }[]
      readonly volumes: readonly {
        readonly secrets: readonly { readonly secretRef: string; readonly path: string }[]
      }[]
    }
  }
}

/** A file of the page, with the names of variables in place of their values. */
const named = (name: string): unknown => parse(written(name, (_, key) => key))

test('the doctor has the settings and the policy of the broker, and its command accepts the arguments', () => {
  const [app, doctor] = [named('app.yaml'), named('doctor.yaml')].map(file => (file as ContainerApp).properties)
  const [broker, container] = [app?.template.containers[0], doctor?.template.containers[0]]
  assert.deepEqual(container?.env, broker?.env)
  assert.deepEqual(doctor?.template.volumes, app?.template.volumes)
  assert.deepEqual(container?.volumeMounts, broker?.volumeMounts)
  assert.equal(
    written('doctor.yaml').split('secrets:\n')[1]?.split('  template:')[0],
    written('app.yaml').split('secrets:\n')[1]?.split('  template:')[0],
  )
  const [command, ...args] = (named('doctor.yaml') as Job).properties.template.containers[0]?.args ?? []
  assert.equal(command, doctorCommand.name)
  const options = Object.entries(doctorCommand.options).map(([name, { type }]) => [name, { type }] as const)
  assert.equal(parseArgs({ args, options: Object.fromEntries(options) }).values['tenant'], 'contoso')
})

describe('the files of docs/azure.md', () => {
  const { configuration, template } = (parse(written('app.yaml')) as ContainerApp).properties
  const [container] = template.containers
  const environment = Object.fromEntries(container?.env.map(({ name, value }) => [name, value]) ?? [])
  const config = readConfig({ ...environment, IDENTITY_ENDPOINT: 'http://localhost/msi/token', IDENTITY_HEADER: 'x' })

  test('the broker accepts the policy without a warning', () => {
    assert.deepEqual(parsePolicy(written('policy.yaml')).warnings, [])
    assert.equal(parsePolicy(configuration.secrets[0]?.value ?? '').rules.length, 1)
  })

  test('the settings are valid, and the policy is at the path that they name', () => {
    assert.deepEqual(config.warnings, [])
    const [item] = template.volumes[0]?.secrets ?? []
    assert.equal(item?.secretRef, configuration.secrets[0]?.name)
    assert.equal(`${container?.volumeMounts[0]?.mountPath}/${item?.path}`, config.policyFile)
  })

  test('ingress and probes use the port of the listener, and the platform waits for the drain', () => {
    assert.deepEqual([config.host, configuration.ingress.allowInsecure], ['0.0.0.0', false])
    const ports = [configuration.ingress.targetPort, ...(container?.probes.map(({ httpGet }) => httpGet.port) ?? [])]
    assert.deepEqual([...new Set(ports)], [config.port])
    assert.deepEqual(container?.probes.map(({ httpGet }) => httpGet.path).toSorted(), ['/livez', '/readyz'])
    assert.ok(template.terminationGracePeriodSeconds > config.drainSeconds + config.upstreamTimeoutMs / 1000 + 2)
  })
})

describe('what the files do with the identities', () => {
  const files = [
    ['app.yaml', 'IDENTITY_ID'],
    ['job.yaml', 'CALLER_ID'],
    ['doctor.yaml', 'IDENTITY_ID'],
  ] as const
  for (const [file, own] of files)
    test(`${file}: another identity than its own pulls the image, and no container gets a token of that one`, () => {
      const { identity, properties } = named(file) as Identities
      assert.deepEqual(Object.keys(identity.userAssignedIdentities), [own, 'PULL_ID'])
      assert.deepEqual(
        properties.configuration.registries.map(registry => registry.identity),
        ['PULL_ID'],
      )
      assert.deepEqual(properties.configuration.identitySettings, [
        { identity: own, lifecycle: 'Main' },
        { identity: 'PULL_ID', lifecycle: 'None' },
      ])
    })

  test("no role is assigned to the broker's identity, which is the credential of the application", () => {
    const assigned = scripts.join('').match(/az role assignment create [^\n]*/g) ?? []
    assert.ok(assigned.length >= 2)
    for (const line of assigned) assert.match(line, /--assignee-object-id "\$PULL_PRINCIPAL_ID"/)
  })
})

test('the command accepts the arguments of the job, and prints no token into its log', () => {
  const [container] = (named('job.yaml') as Job).properties.template.containers
  const values: Readonly<Record<string, string>> = {
    BROKER: 'https://token-broker.internal.example',
    'api://API_ID': `api://${sample.application}`,
    CALLER_CLIENT_ID: sample.application,
  }
  const [command, ...args] = container?.args.map(arg => values[arg] ?? arg) ?? []
  const options = Object.entries(tokenCommand.options).map(([name, { type }]) => [name, { type }] as const)
  const given = parseArgs({ args, options: Object.fromEntries(options) }).values
  const platform = { IDENTITY_ENDPOINT: 'http://localhost/msi/token', IDENTITY_HEADER: 'x' }
  const { output, identity, requested } = readTokenSettings(given, platform)
  assert.deepEqual([command, output, identity?.clientId], ['token', 'summary', sample.application])
  const [rule] = parsePolicy(written('policy.yaml')).rules
  assert.ok(rule?.scopes.has(requested.scope))
})

const mistakes = [
  ...sectionOf(page, '## Typical mistakes').matchAll(/^\| (.+) \| `(\w+)` \| (?:`(\w+)`|–) \| (\d+|–) \| .+ \|$/gm),
].map(([, mistake = '', outcome = '', reason, aadsts]) => ({ mistake, outcome, reason, aadsts: Number(aadsts) }))
const world = await startWorld()

describe('a mistake causes the error in the table', () => {
  test('the test reads the whole table', () => assert.ok(mistakes.length >= 20))
  for (const { mistake, outcome, reason, aadsts } of mistakes)
    test(mistake, async t => {
      assert.ok(
        reason === undefined
          ? outcome in errorTable
          : reasons.some(each => each.code === outcome && each.reason === reason),
      )
      if (Number.isNaN(aadsts)) return
      const broker = await world.broker(t)
      world.emulator.fault({ kind: 'aadsts', code: aadsts, at: 'token' })
      await broker.requestToken()
      const [line] = broker.events('token.failed')
      assert.deepEqual([line?.['outcome'], line?.['reason']], [outcome, reason])
      assert.equal(typeof line?.['remedy'], 'string')
    })
})
