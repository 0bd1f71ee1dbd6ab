import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { after, describe, test } from 'node:test'
import { startEmulator } from '../../emulator/emulator.ts'
import { type Closing, send, until } from '../support/broker.ts'
import { read } from '../support/sources.ts'
import { environmentOf, run, serve, type Run } from './process.ts'

const emulator = await startEmulator()
after(() => emulator.close())

/** Node starts its inspector within a few milliseconds of the signal. */
const settleMs = 300

async function startAgent(t: Closing, flags: readonly string[]): Promise<Run & { url: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'token-broker-agent-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  await writeFile(join(folder, 'token'), await emulator.mintCallerToken())
  const files = ['--token-file', join(folder, 'token'), '--secret-file', join(folder, 'secret')]
  const args = ['agent', '--broker', 'http://127.0.0.1:1', '--tenant', 'contoso', '--port', '0', ...files]
  const agent = run(t, args, {}, flags)
  const address = () => /IDENTITY_ENDPOINT=(http:\/\/[\d.:]+)/.exec(agent.stderr())?.[1]
  await until('the agent listens', () => address() !== undefined || agent.hasExited(), 20)
  return { ...agent, url: address() ?? assert.fail(agent.stderr()) }
}

const startBroker = async (t: Closing, flags: readonly string[]) => serve(t, await environmentOf(t, emulator), flags)

for (const [what, start] of [
  ['a broker', startBroker],
  ['an agent', startAgent],
] as const)
  for (const flags of [['--disable-sigusr1'], []])
    test(`SIGUSR1 opens no inspector in ${what}, started as "node ${flags.join(' ')}", and the process lives`, async t => {
      const service = await start(t, flags)
      service.signal('SIGUSR1')
      await sleep(settleMs)
      assert.doesNotMatch(service.stderr(), /debugger|ws:/i)
      assert.equal((await send(`${service.url}/livez`)).status, 200)
    })

describe('Node is started with --disable-sigusr1', () => {
  const { scripts, bin } = JSON.parse(read('package.json')) as Record<'scripts' | 'bin', Record<string, string>>
  const starts: readonly (readonly [where: string, line: string | undefined])[] = [
    ['the command itself', read('src/cli.ts').split('\n', 1)[0]],
    [
      'the command in a clone',
      /^exec .+$/m.exec(read('scripts/token-broker').replaceAll('\\\n', ' '))?.[0].replace('run.sh', 'node'),
    ],
    ['npm run dev', /spawn\(process\.execPath, .+/.exec(read('emulator/dev.ts'))?.[0]],
    ['the image', /^ENTRYPOINT .+$/m.exec(read('Dockerfile'))?.[0]],
    ['the systemd unit', /^ExecStart=.+$/m.exec(read('examples/systemd/token-broker-agent.service'))?.[0]],
  ]
  for (const [where, line] of starts)
    test(where, () => {
      assert.match(String(line), /\bnode\b.* --disable-sigusr1\b|"--disable-sigusr1"|'--disable-sigusr1'/)
    })

  test('npm start, npm run token-broker and bin use the command in a clone', () => {
    assert.match(String(scripts['start']), /exec "\$OLDPWD\/scripts\/token-broker" serve$/)
    assert.match(String(scripts['token-broker']), /exec "\$OLDPWD\/scripts\/token-broker"$/)
    assert.deepEqual(bin, { 'token-broker': 'scripts/token-broker' })
    assert.match(read('scripts/run.sh'), /^exec node "\$@"$/m)
  })

  // Otherwise they would need the flag themselves.
  for (const path of ['helm/templates/deployment.yaml', 'examples/kubernetes/native-sidecar.yaml'])
    test(`${path} does not replace the entry point of the image`, () => {
      assert.doesNotMatch(read(path), /^ *command: .*token-broker/m)
      assert.match(read(path), /^ *args:/m)
    })
})
