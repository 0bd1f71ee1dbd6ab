import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { decodeJws, type Json } from '../../emulator/jws.ts'
import { sample } from '../../emulator/options.ts'
import { startWorld } from '../support/broker.ts'
import { read } from '../support/sources.ts'
import { workplace } from './programs.ts'

/**
 * examples/terraform/main.tf, run as the data source `external` of hashicorp/external v2.4.0 runs it
 * (internal/provider/data_source.go): the program gets the query as JSON on standard input, and must print a JSON object of
 * texts. Terraform itself does not run here.
 */

const example = read('examples/terraform/main.tf')
const world = await startWorld()
const broker = await world.broker({ after })
const { run, file } = await workplace({ after })
const tokenFile = await file('token', await world.emulator.mintCallerToken())

/** The program of the data source, with the test's addresses and files. */
function programOf(text: string): readonly [program: string, ...args: string[]] {
  const [, list = ''] = /program = \[([^\]]+)\]/.exec(text) ?? []
  const filledIn = list.replace('https://broker.example', broker.url).replace('/run/token', tokenFile)
  const [program = '', ...args] = JSON.parse(`[${filledIn.trim().replace(/,$/, '')}]`) as string[]
  return [program, ...args]
}

describe('the data source of the example', () => {
  test('gets a token, and everything that the example reads of it is a text', async () => {
    const [program, ...args] = programOf(example)
    const result = JSON.parse((await run(program, args, '{}')).stdout) as Json
    for (const [name, value] of Object.entries(result)) assert.equal(typeof value, 'string', name)
    const used = [...example.matchAll(/data\.external\.contoso\.result\.(\w+)/g)].map(([, name = '']) => name)
    assert.deepEqual(used, ['access_token', 'expires_on'])
    for (const name of used) assert.ok(name in result, name)
    assert.equal(decodeJws(String(result['access_token']))?.payload['tid'], sample.contoso)
  })

  test('fails with what the broker says on standard error, which Terraform shows', async () => {
    const [program, ...args] = programOf(example.replace('graph.microsoft.com', 'vault.azure.net'))
    await assert.rejects(run(program, args, '{}'), ({ code, stderr, stdout }: Failed) => {
      assert.match(stderr, /not_permitted/)
      assert.deepEqual([code, stdout], [7, ''])
      return true
    })
  })

  test('has no token in what Terraform prints', () => {
    assert.match(example, /value += data\.external\.contoso\.result\.access_token\n +sensitive = true/)
  })
})

interface Failed {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}
