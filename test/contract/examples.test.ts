import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { describe, test } from 'node:test'
import { parseAllDocuments } from 'yaml'
import { nodeFlags } from '../../scripts/node-flags.ts'
import { isObject, membersOf } from '../../src/broker/lib/json-members.ts'
import { settingsOf } from '../agent/flags.ts'
import { read } from '../support/sources.ts'

/** All values of a key, anywhere in a document. */
function valuesOf(value: unknown, key: string): unknown[] {
  if (Array.isArray(value)) return value.flatMap(each => valuesOf(each, key))
  if (!isObject(value)) return []
  return Object.entries(value).flatMap(([name, each]) => [...(name === key ? [each] : []), ...valuesOf(each, key)])
}

describe('the native sidecar', () => {
  const documents: unknown[] = parseAllDocuments(read('examples/kubernetes/native-sidecar.yaml')).map(each =>
    each.toJS(),
  )
  const [sidecar = {}] = valuesOf(documents, 'initContainers').flat().map(membersOf)
  const [command, ...flags] = sidecar['args'] as string[]
  const settings = () => settingsOf(flags, {})

  test('starts an agent with valid flags, and ends after the workload', () => {
    assert.equal(command, 'agent')
    assert.equal(settings().tenant, 'contoso')
    assert.equal(sidecar['restartPolicy'], 'Always')
  })

  test('configures the workload with the port and the secret of that agent', () => {
    const { listen } = settings()
    assert.ok('port' in listen)
    const endpoint = `http://127.0.0.1:${listen.port}/identity/token`
    const environment = valuesOf(documents, 'env').flat().map(membersOf)
    assert.equal(environment.find(({ name }) => name === 'IDENTITY_ENDPOINT')?.['value'], endpoint)
    assert.equal(environment.find(({ name }) => name === 'PORT')?.['value'], String(listen.port))
    const [reference] = valuesOf(documents, 'secretKeyRef').map(membersOf)
    assert.deepEqual(valuesOf(documents, 'secretName'), [reference?.['name']])
    const secrets = valuesOf(documents, 'stringData').map(membersOf)
    assert.match(String(membersOf(secrets[0])[String(reference?.['key'])]), /^[!-~]{43,512}$/)
  })

  test('mounts every file that the flags name', () => {
    const { credential, secretFile } = settings()
    const mounts = valuesOf(sidecar, 'mountPath').map(String)
    for (const file of [credential.tokenFile ?? '', credential.caFile ?? '', secretFile])
      assert.ok(
        mounts.some(mount => file.startsWith(`${mount}/`)),
        file,
      )
    // No permissions for others: the agent refuses a secret that others can read.
    assert.deepEqual(valuesOf(documents, 'defaultMode'), [0o440])
  })
})

/** What "restricted" requires (https://kubernetes.io/docs/concepts/security/pod-security-standards/). */
function checkRestricted(pod: Readonly<Record<string, unknown>>): number {
  const ofPod = membersOf(pod['securityContext'])
  const containers = ['initContainers', 'containers'].flatMap(key => pod[key] ?? []).map(membersOf)
  for (const { name, securityContext, ports = [] } of containers) {
    const own = { ...ofPod, ...membersOf(securityContext) }
    const what = String(name)
    assert.equal(own['allowPrivilegeEscalation'], false, what)
    assert.deepEqual(membersOf(own['capabilities'])['drop'], ['ALL'], what)
    assert.ok(
      [undefined, 'NET_BIND_SERVICE'].includes(valuesOf(own['capabilities'], 'add').flat().map(String)[0]),
      what,
    )
    assert.equal(own['runAsNonRoot'], true, what)
    assert.notEqual(own['runAsUser'], 0, what)
    assert.equal(membersOf(own['seccompProfile'])['type'], 'RuntimeDefault', what)
    assert.notEqual(own['privileged'], true, what)
    assert.deepEqual(valuesOf(ports, 'hostPort'), [], what)
  }
  for (const key of ['hostNetwork', 'hostPID', 'hostIPC']) assert.equal(pod[key], undefined)
  assert.deepEqual(valuesOf(pod['volumes'], 'hostPath'), [])
  return containers.length
}

/** Every manifest of the examples. The pages show parts of pods only. */
const manifests = readdirSync(new URL('../../examples/kubernetes', import.meta.url)).filter(name => /ya?ml$/.test(name))

describe('a restricted namespace accepts every pod of the example manifests', () => {
  for (const name of manifests)
    test(name, () => {
      const documents = parseAllDocuments(read(`examples/kubernetes/${name}`)).map(each => each.toJS() as unknown)
      const pods = documents.flatMap(each => valuesOf(each, 'template')).map(each => membersOf(membersOf(each)['spec']))
      assert.ok(pods.length > 0)
      for (const pod of pods) assert.ok(checkRestricted(pod) > 0)
    })
})

test('the sidecar requests the memory that an agent uses', () => {
  const text = read('examples/kubernetes/native-sidecar.yaml')
  assert.match(text, /requests: \{ cpu: 10m, memory: 128Mi \}\n +limits: \{ memory: 256Mi \}/)
})

test('the systemd unit starts an agent with valid flags, and a folder for its secret', () => {
  const unit = read('examples/systemd/token-broker-agent.service')
  const [, command = ''] = /^ExecStart=(.+)$/m.exec(unit.replaceAll('\\\n', ' ')) ?? []
  const words = command.trim().split(/\s+/)
  const [program, flags] = [words.slice(0, words.indexOf('agent')), words.slice(words.indexOf('agent') + 1)]
  assert.deepEqual(program, ['/usr/local/bin/node', ...nodeFlags, '/opt/token-broker/dist/token-broker.cjs'])
  const [, folder] = /^RuntimeDirectory=(\S+)$/m.exec(unit) ?? []
  const { secretFile, listen } = settingsOf(flags, { RUNTIME_DIRECTORY: `/run/${folder}` })
  assert.ok(unit.includes(`$(cat ${secretFile})`))
  // The workload reads the secret when it starts, immediately after this unit.
  assert.ok(unit.includes(`ExecStartPost=/bin/sh -c 'until [ -s ${secretFile} ]; do sleep 0.1; done'`))
  // Otherwise systemd removes the folder at each restart, and the workload's secret becomes invalid.
  assert.match(unit, /^RuntimeDirectoryPreserve=restart$/m)
  assert.ok('port' in listen && unit.includes(`IDENTITY_ENDPOINT=http://127.0.0.1:${listen.port}/identity/token`))
})

describe('each C# example is one file that .NET 10 runs by itself', () => {
  for (const name of readdirSync(new URL('../../examples/csharp', import.meta.url)))
    test(name, () => {
      const [first = '', ...rest] = read(`examples/csharp/${name}`).split('\n')
      assert.match(first, /^#:package Azure\.Identity@\d+\.\d+\.\d+$/)
      const code = rest.find(line => !/^(?:#:|\/\/|using [\w.]+;|$)/.test(line))
      assert.match(code ?? '', /^var /, 'a program begins with statements')
    })
})
