import { execFile, execFileSync } from 'node:child_process'
import { existsSync, globSync } from 'node:fs'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import { parseAllDocuments } from 'yaml'

/** The Helm with which the stored copies were made: the one to install. */
export const helmVersion = 'v4.3.1'
/** The command that installs it where the tests look first; it needs Go. */
export const installHelm = `GOBIN="$PWD/.tools/bin" go install helm.sh/helm/v4/cmd/helm@${helmVersion}`

const root = join(import.meta.dirname, '../..')
const chart = 'helm'
const run = promisify(execFile)

const helm = [join(root, '.tools/bin/helm'), 'helm'].find(isHelm4)

/** Options for tests that need Helm: they run, or are skipped with the reason. */
export const withHelm = { skip: helm === undefined && `no Helm 4 in .tools/bin or PATH; to install it: ${installHelm}` }

function isHelm4(command: string): boolean {
  if (command.includes('/') && !existsSync(command)) return false
  try {
    return execFileSync(command, ['version', '--template', '{{ .Version }}'], { encoding: 'utf8' }).startsWith('v4.')
  } catch {
    return false
  }
}

/** One Kubernetes object: the fields that every object has. */
export interface Manifest {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: {
    readonly name: string
    readonly namespace?: string
    readonly labels?: Readonly<Record<string, string>>
    readonly annotations?: Readonly<Record<string, string>>
  }
}

/** The value files with which the chart is tested: `aks`, `minimal`, … */
export const valueFiles: readonly string[] = globSync('test/chart/values/*.yaml', { cwd: root })
  .map(path => basename(path, '.yaml'))
  .toSorted()

const release = ['token-broker', chart, '--namespace', 'token-broker']
/** No cluster, however this machine is configured. */
const environment = { ...process.env, KUBECONFIG: '/dev/null' }

/** Runs Helm in the project's folder. Rejects with its output. */
export async function runHelm(...args: readonly string[]): Promise<string> {
  if (helm === undefined) throw new Error(installHelm)
  const { stdout } = await run(helm, args, { cwd: root, env: environment, encoding: 'utf8' })
  return stdout
}

const valuesOf = (name: string): string => `test/chart/values/${name}.yaml`

const renderings = new Map<string, Promise<string>>()

/**
 * The chart's manifests as text. The same arguments are rendered once.
 * @param name a value file
 * @param args more of `helm template`, such as `--set`
 */
export function render(name: string, ...args: readonly string[]): Promise<string> {
  const question = JSON.stringify([name, args])
  const rendering = renderings.get(question) ?? runHelm('template', ...release, '--values', valuesOf(name), ...args)
  renderings.set(question, rendering)
  return rendering
}

/** The notes that Helm prints after an installation. */
export async function renderNotes(name: string, ...args: readonly string[]): Promise<string> {
  const text = await runHelm('install', ...release, '--dry-run=client', '--values', valuesOf(name), ...args)
  return text.split('\nNOTES:\n')[1] ?? ''
}

/** `helm lint --strict`. Rejects if it finds anything but advice. */
export const lint = (name: string): Promise<string> => runHelm('lint', '--strict', chart, '--values', valuesOf(name))

/** Helm's error for values that it refuses. */
export async function refusal(name: string, ...args: readonly string[]): Promise<string> {
  try {
    await render(name, ...args)
  } catch (thrown) {
    return (thrown as { stderr?: string }).stderr ?? String(thrown)
  }
  throw new Error('the values were accepted')
}

/** The objects of a rendered text, in its order. */
export function parseManifests(text: string): readonly Manifest[] {
  return parseAllDocuments(text)
    .map(document => {
      if (document.errors.length > 0) throw new Error(`not YAML: ${document.errors[0]?.message}`)
      return document.toJS() as Manifest | null
    })
    .filter(manifest => manifest !== null)
}
