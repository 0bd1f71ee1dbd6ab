import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { after, describe, test } from 'node:test'
import { parse } from 'yaml'
import { createAuthority } from '../../emulator/certificates.ts'
import { decodeJws, type Json } from '../../emulator/jws.ts'
import { sample } from '../../emulator/options.ts'
import { sampleCaller, startWorld } from '../support/broker.ts'
import { read } from '../support/sources.ts'
import { aks, customers, valueAt } from './customers.ts'
import { workplace } from './programs.ts'

/**
 * examples/kubectl/kubeconfig.yaml: with kubectl, where it is installed, and a server in the place of the cluster's. Without
 * it, the command of the file, and what it prints.
 */

const example = read('examples/kubectl/kubeconfig.yaml')
const world = await startWorld(customers)
const rules = [{ name: 'clusters', callers: [sampleCaller], tenants: ['contoso'], scopes: [`${aks}/.default`] }]
const broker = await world.broker({ after }, { policy: { rules } })
const { run, file } = await workplace({ after })
const tokenFile = await file('token', await world.emulator.mintCallerToken())

/** The example with the test's addresses and files. */
const filledIn = (tenant = 'contoso'): string =>
  example
    .replace('https://broker.example', broker.url)
    .replace('/run/token', tokenFile)
    .replace('--tenant=contoso', `--tenant=${tenant}`)

test('the command of the example prints an ExecCredential with a token for the cluster', async () => {
  const { command, args, apiVersion } = valueAt(parse(filledIn()), 'users', 0, 'user', 'exec') as {
    command: string
    args: string[]
    apiVersion: string
  }
  const printed = JSON.parse((await run(command, args)).stdout) as Json
  assert.deepEqual([printed['apiVersion'], printed['kind']], [apiVersion, 'ExecCredential'])
  const claims = decodeJws(String(valueAt(printed, 'status', 'token')))?.payload
  assert.deepEqual([claims?.['tid'], claims?.['aud']], [sample.contoso, aks])
  assert.match(String(valueAt(printed, 'status', 'expirationTimestamp')), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
})

/** client.authentication.k8s.io/v1 came with 1.22. */
const version = /GitVersion:"v1\.(\d+)|Client Version: v1\.(\d+)/.exec(
  spawnSync('kubectl', ['version', '--client'], { encoding: 'utf8' }).stdout ?? '',
)
const skip = Number(version?.[1] ?? version?.[2] ?? 0) >= 22 ? false : 'kubectl 1.22 or newer is not installed'

describe('kubectl with the example', { skip }, async () => {
  if (skip !== false) return
  const authority = createAuthority('cluster CA')
  await file('contoso-ca.pem', authority.caPem)
  const leaf = authority.issue()
  const received: (string | undefined)[] = []
  const cluster = createServer({ cert: leaf.certPem, key: leaf.keyPem }, (request, response) => {
    received.push(request.headers.authorization)
    response.setHeader('content-type', 'application/json').end('{"gitVersion":"v1.33.0"}')
  })
  await new Promise<void>(resolve => cluster.listen(0, '127.0.0.1', resolve))
  after(() => void cluster.close())
  const server = `https://127.0.0.1:${(cluster.address() as AddressInfo).port}`
  const kubectl = async (tenant?: string) => {
    const config = filledIn(tenant).replace('https://contoso.hcp.westeurope.azmk8s.io:443', server)
    return run('kubectl', ['--kubeconfig', await file('kubeconfig', config), 'get', '--raw', '/version'])
  }

  test("sends the token of the customer's tenant to the cluster", async () => {
    const { stdout } = await kubectl()
    assert.match(stdout, /v1\.33\.0/)
    const claims = decodeJws(received.at(-1)?.replace('Bearer ', '') ?? '')?.payload
    assert.equal(claims?.['tid'], sample.contoso)
  })

  test("shows the broker's refusal, and sends nothing to the cluster", async () => {
    const before = received.length
    await assert.rejects(kubectl('fabrikam'), ({ stderr }: { stderr: string }) => {
      assert.match(stderr, /not_permitted/)
      return true
    })
    assert.equal(received.length, before)
  })
})
