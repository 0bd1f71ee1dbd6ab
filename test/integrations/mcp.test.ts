import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { createAuthority } from '../../emulator/certificates.ts'
import { decodeJws } from '../../emulator/jws.ts'
import { sample } from '../../emulator/options.ts'
import { customerToken } from '../../examples/mcp/customer-token.ts'
import { startWorld, trust } from '../support/broker.ts'
import { read } from '../support/sources.ts'

/** examples/mcp without the MCP SDK, which `npm run test:clients -- mcp` installs: its token exchange with oauth4webapi. */

const world = await startWorld()
const folder = await mkdtemp(join(tmpdir(), 'token-broker-mcp-'))
after(() => rm(folder, { recursive: true }))
const file = async (name: string, content: string): Promise<string> => {
  await writeFile(join(folder, name), content)
  return join(folder, name)
}
const authority = createAuthority('MCP CA')
trust(authority.caPem)
const { certPem, keyPem } = authority.issue()
const environment = { TLS_CERT_FILE: await file('cert', certPem), TLS_KEY_FILE: await file('key', keyPem) }
const broker = await world.broker({ after }, { environment })
process.env['BROKER'] = broker.url
const own = await world.emulator.mintCallerToken()
process.env['TOKEN_FILE'] = await file('token', `${own}\n`)
const graph = 'https://graph.microsoft.com'

describe('examples/mcp: the token exchange', () => {
  test("the server gets a token of the customer's tenant, the second time from the broker's cache", async () => {
    const token = await customerToken('contoso', graph)
    assert.equal(decodeJws(token)?.payload['tid'], sample.contoso)
    assert.equal(await customerToken('contoso', graph), token)
    assert.deepEqual(
      broker.events('token.issued').map(({ cache }) => cache),
      ['miss', 'hit'],
    )
  })

  test("a refusal is an error with the broker's words, and without the server's token", async () => {
    await assert.rejects(customerToken('contoso', 'api://orders'), ({ message }: Error) => {
      assert.match(message, /^invalid_target: No rule of the policy .*\(request_id [\w-]+\)$/)
      return !message.includes(own)
    })
  })

  test('an outage is an error with the words of the broker, which say that it can pass', async () => {
    world.emulator.fault({ kind: 'throttled', at: 'token', retryAfter: 7 })
    await assert.rejects(customerToken('fabrikam', graph), /^Error: temporarily_unavailable: /)
    world.emulator.clearFaults()
  })

  test("the server's own token is read again for each request", async () => {
    await file('token', 'nonsense')
    await assert.rejects(customerToken('contoso', graph), /^Error: invalid_request: /)
  })
})

test("the tenant is the environment's, and no argument of a tool chooses it", () => {
  const server = read('examples/mcp/server.ts')
  assert.match(server, /customerToken\(TENANT, RESOURCE\)/)
  assert.ok(!server.includes('inputSchema'))
})
