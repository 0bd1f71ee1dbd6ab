import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { startEmulator, type Emulator } from '../emulator/emulator.ts'
import { sample } from '../emulator/options.ts'
import { nodeFlags } from './node-flags.ts'

/** The file beside the bundle from which scripts/start.cjs loads compiled code. */
export const compiled = 'bundle.compiled'

const writer = join(import.meta.dirname, 'write-compiled.cjs')
const withinMs = 60_000
const scope = 'https://graph.microsoft.com/.default'

/**
 * Starts a bundled broker once, with the emulator in the place of Entra, and requests a token twice, so that V8 compiles what
 * a start, an exchange and a cached token need. Writes that code beside the bundle, behind the SHA-256 of both. It is for this
 * version of Node, this architecture and {@link nodeFlags}. With any other, V8 rejects it, and compiles as usual.
 *
 * @param program the path of the copy of scripts/start.cjs
 * @throws Error if the broker does not issue tokens, or does not stop, within a minute
 */
export async function compile(program: string): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'token-broker-compile-'))
  const emulator = await startEmulator()
  try {
    const code = join(folder, 'code')
    await runOnce(program, { ...(await settingsIn(folder, emulator)), COMPILED: code }, await requestOf(emulator))
    const [bundle, data] = await Promise.all([readFile(join(dirname(program), 'bundle.cjs')), readFile(code)])
    const digest = createHash('sha256').update(bundle).update(data).digest()
    await writeFile(join(dirname(program), compiled), Buffer.concat([digest, data]))
  } finally {
    await emulator.close()
    await rm(folder, { recursive: true })
  }
}

async function settingsIn(folder: string, emulator: Emulator): Promise<Readonly<Record<string, string>>> {
  const file = async (name: string, content: string): Promise<string> => {
    await writeFile(join(folder, name), content)
    return join(folder, name)
  }
  const policy = {
    applications: { default: sample.application },
    issuers: { emulator: { issuer: emulator.callerIssuer, audiences: ['token-broker'] } },
    rules: [
      {
        name: 'compile',
        callers: [{ issuer: 'emulator', subject: 'compile' }],
        tenants: [sample.contoso],
        scopes: [scope],
      },
    ],
  }
  return {
    ...emulator.environment(),
    HOST: '127.0.0.1',
    PORT: '0',
    BROKER_DRAIN_SECONDS: '0',
    BROKER_POLICY_FILE: await file('policy', JSON.stringify(policy)),
    NODE_EXTRA_CA_CERTS: await file('ca.pem', emulator.caPem),
  }
}

/** A request for a token, as a caller sends it. */
async function requestOf(emulator: Emulator): Promise<RequestInit> {
  const token = await emulator.mintCallerToken({ sub: 'compile' })
  return {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', connection: 'close' },
    body: JSON.stringify({ tenant: sample.contoso, scope }),
  }
}

/** Starts the program, sends the request twice, and stops it. */
async function runOnce(program: string, env: Readonly<Record<string, string>>, request: RequestInit): Promise<void> {
  const args = [...nodeFlags, '--require', writer, program, 'serve']
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'inherit'] })
  const deadline = setTimeout(() => child.kill('SIGKILL'), withinMs)
  const exited = once(child, 'exit') as Promise<[code: number | null]>
  let output = ''
  const listening = Promise.withResolvers<string>()
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString()
    const [, url] = /listening at (http:[^"]+)/.exec(output) ?? []
    if (url !== undefined) listening.resolve(url)
  })
  const ended = exited.then(([code]) => {
    throw new Error(`the bundled broker ended with ${code}:\n${output}`)
  })
  try {
    const url = await Promise.race([listening.promise, ended])
    for (let nth = 0; nth < 2; nth++) {
      const response = await fetch(`${url}/tokens`, request)
      if (!response.ok) throw new Error(`the bundled broker returned ${await response.text()}`)
      await response.arrayBuffer()
    }
  } finally {
    ended.catch(() => undefined)
    child.kill('SIGTERM')
    clearTimeout(deadline)
  }
  const [code] = await exited
  if (code !== 0) throw new Error(`the bundled broker ended with ${code}:\n${output}`)
}
