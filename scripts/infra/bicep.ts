import { execFile, execFileSync } from 'node:child_process'
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { membersOf } from '../../src/broker/lib/json-members.ts'
import { packageRoot } from '../../src/service/package.ts'

/** The Bicep CLI with which the compiled files were made. Another one may write them differently. */
export const bicepVersion = '0.49.2'

/** Where the Bicep CLI and the types of the Microsoft Graph extension are. */
export interface Bicep {
  readonly command: string
  readonly version: string
  /** The extension's package as a file; `undefined` if the CLI gets it from the address in bicepconfig.json. */
  readonly graphTypes: string | undefined
}

/** What is missing, for people. */
export const withoutBicep =
  'no Bicep CLI: set BICEP to its path, or put bicep into PATH; without a network, set BICEP_GRAPH_TYPES to the ' +
  'package (tgz) of the Microsoft Graph extension too'

/** The CLI that `BICEP` names, or that is in PATH; `undefined` if there is none. */
export function findBicep(environment: NodeJS.ProcessEnv = process.env): Bicep | undefined {
  const { BICEP: command = 'bicep', BICEP_GRAPH_TYPES: types } = environment
  try {
    const text = execFileSync(command, ['--version'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
    const version = /version (\d+\.\d+\.\d+)/.exec(text)?.[1]
    return version === undefined ? undefined : { command, version, graphTypes: types && resolve(types) }
  } catch {
    return undefined
  }
}

/** What a parameters file reads from the environment. Nothing else of the environment reaches the CLI. */
export type Variables = Readonly<Record<string, string>>

/** The ids of a subscription and a tenant for which snapshots are made. */
const place = [
  '--subscription-id=00000000-0000-4000-8000-0000000000f1',
  '--tenant-id=00000000-0000-4000-8000-0000000000f2',
  '--location=westeurope',
]

/** A copy of `infra/` in which the CLI can run. */
export interface Workshop {
  readonly folder: string
  /** Writes or replaces a file of the copy. */
  write(name: string, text: string): Promise<void>
  /** Compiles a file with its modules. Rejects if the compiler or the linter prints as much as a warning. */
  build(name: string): Promise<string>
  /** Formats all files of the copy. */
  format(): Promise<void>
  /**
   * Predicts the deployment of a parameters file, `main` for main.bicepparam, as JSON. The CLI writes outputs in another
   * order each time; here they are sorted.
   */
  snapshot(name: string, variables?: Variables): Promise<string>
  /** Removes the copy. */
  close(): Promise<void>
}

/** Copies `infra/` to a temporary folder, where bicepconfig.json names the extension's types on this machine. */
export async function openWorkshop({ command, graphTypes }: Bicep): Promise<Workshop> {
  const home = await mkdtemp(join(tmpdir(), 'token-broker-infra-'))
  const folder = join(home, 'infra')
  await cp(join(packageRoot, 'infra'), folder, { recursive: true })
  if (graphTypes !== undefined) {
    const file = join(folder, 'bicepconfig.json')
    const configuration = membersOf(JSON.parse(await readFile(file, 'utf8')))
    await writeFile(file, JSON.stringify({ ...configuration, extensions: { microsoftGraphV1: graphTypes } }))
  }
  const run = async (args: readonly string[], variables: Variables = {}): Promise<string> => {
    const env = { PATH: process.env['PATH'], HOME: home, DOTNET_SYSTEM_GLOBALIZATION_INVARIANT: '1', ...variables }
    const options = { cwd: folder, env, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 } as const
    const { stdout, stderr } = await promisify(execFile)(command, [...args], options)
    if (stderr.trim() !== '') throw new Error(`bicep ${args.join(' ')}:\n${stderr}`)
    return stdout
  }
  return {
    folder,
    write: (name, text) => writeFile(join(folder, name), text),
    build: name => run(['build', '--stdout', name]),
    format: async () => {
      for (const pattern of ['**/*.bicep', '**/*.bicepparam']) await run(['format', '--pattern', pattern])
    },
    snapshot: async (name, variables = {}) => {
      await run(['snapshot', `${name}.bicepparam`, '--mode', 'overwrite', ...place], variables)
      const { outputs, ...rest } = membersOf(JSON.parse(await readFile(join(folder, `${name}.snapshot.json`), 'utf8')))
      const sorted = Object.fromEntries(Object.entries(membersOf(outputs)).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      return `${JSON.stringify({ ...rest, outputs: sorted }, undefined, 2)}\n`
    },
    close: () => rm(home, { recursive: true, force: true }),
  }
}
