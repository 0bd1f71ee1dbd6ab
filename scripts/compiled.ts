import { spawn } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { nodeFlags } from './node-flags.ts'

/** The folder beside a bundle from which `src/cli.ts` loads compiled code. */
export const compiled = 'compiled'

const startWithinMs = 30_000

/**
 * Starts a bundled broker once, with settings under which it sends no requests, so that Node writes the compiled code
 * to {@link compiled} (https://nodejs.org/api/module.html#module-compile-cache). The code is for this version of Node
 * and this architecture. Any other ignores it.
 *
 * @param program the bundle's path
 * @throws if the broker does not start within 30 s
 */
export async function compile(program: string): Promise<void> {
  const cache = join(dirname(program), compiled)
  await mkdir(cache)
  const folder = await mkdtemp(join(tmpdir(), 'token-broker-compile-'))
  try {
    await startAndStop(program, await settingsIn(folder))
  } finally {
    await rm(folder, { recursive: true })
  }
  if ((await readdir(cache)).length === 0) throw new Error('Node wrote no compiled code')
}

async function settingsIn(folder: string): Promise<Readonly<Record<string, string>>> {
  const file = async (name: string, content: unknown): Promise<string> => {
    await writeFile(join(folder, name), JSON.stringify(content))
    return join(folder, name)
  }
  const guid = '00000000-0000-4000-8000-000000000000'
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const key = { ...publicKey.export({ format: 'jwk' }), kid: 'none', alg: 'ES256', use: 'sig' }
  const issuer = {
    issuer: 'https://issuer.example',
    audiences: ['none'],
    jwksFile: await file('jwks', { keys: [key] }),
  }
  const rule = { name: 'unused', callers: [{ issuer: 'none', subject: 'unused' }], permissions: ['observe'] }
  const policy = { applications: { default: guid }, issuers: { none: issuer }, rules: [rule] }
  return {
    HOST: '127.0.0.1',
    PORT: '0',
    BROKER_DRAIN_SECONDS: '0',
    BROKER_POLICY_FILE: await file('policy', policy),
    BROKER_IDENTITY_SOURCE: 'workload-identity',
    BROKER_IDENTITY_CLIENT_ID: guid,
    AZURE_TENANT_ID: guid,
    AZURE_FEDERATED_TOKEN_FILE: await file('assertion', 'none'),
  }
}

async function startAndStop(program: string, env: Readonly<Record<string, string>>): Promise<void> {
  const child = spawn(process.execPath, [...nodeFlags, program, 'serve'], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  const deadline = setTimeout(() => child.kill('SIGKILL'), startWithinMs)
  const exited = once(child, 'exit')
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString()
      if (output.includes('listening at')) child.kill('SIGTERM')
    })
  }
  const [code] = (await exited) as [number | null]
  clearTimeout(deadline)
  if (code !== 0) throw new Error(`the bundled broker exited with ${code}:\n${output}`)
}
