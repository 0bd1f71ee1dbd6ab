import { access, constants, readFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { userInfo } from 'node:os'
import { must, run } from './command.ts'

/** The path of a program in `PATH`; undefined if it is not there. */
export async function which(program: string): Promise<string | undefined> {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const path = join(folder, program)
    if (await access(path, constants.X_OK).then(...yesNo)) return path
  }
  return undefined
}

const yesNo = [() => true, () => false] as const

/** The Debian and Ubuntu packages of the programs that build and run an image. */
const packageOf = { buildah: 'buildah', podman: 'podman', runc: 'runc', newuidmap: 'uidmap' } as const

const isRoot = (): boolean => process.getuid?.() === 0

/**
 * Which container runtime this machine needs, and podman's options for it. crun, which podman prefers, ends with an error on
 * hybrid cgroups: "cgroups in hybrid mode not supported, drop all controllers from cgroupv2". runc ignores cgroup v2 there.
 *
 * @param controllers the controllers of cgroup v2 beside those of v1; undefined if there is only one of the two
 */
export function runtimeFor(
  controllers: string | undefined,
  installed: readonly string[],
): { readonly isMissing: boolean; readonly reason: string | undefined; readonly options: readonly string[] } {
  const isHybrid = controllers !== undefined && controllers.trim() !== ''
  if (!isHybrid) return { isMissing: installed.length === 0, reason: undefined, options: [] }
  if (installed.includes('runc')) return { isMissing: false, reason: undefined, options: ['--runtime=runc'] }
  const reason = `runc: crun does not run containers on hybrid cgroups, where v2 has controllers (${controllers.trim()})`
  return { isMissing: true, reason, options: [] }
}

async function runtimeHere(): Promise<ReturnType<typeof runtimeFor>> {
  const controllers = await readFile('/sys/fs/cgroup/unified/cgroup.controllers', 'utf8').catch(() => undefined)
  const installed: string[] = []
  for (const program of ['runc', 'crun']) if (await which(program)) installed.push(program)
  return runtimeFor(controllers, installed)
}

/** The options with which podman can run containers here. */
export const runtimeOptions = async (): Promise<readonly string[]> => (await runtimeHere()).options

/** Why podman cannot run containers here, if it is the runtime. */
export async function missingRuntime(): Promise<string | undefined> {
  const { isMissing, reason } = await runtimeHere()
  return isMissing ? (reason ?? 'runc or crun, with which podman runs containers') : undefined
}

async function missingPrograms(): Promise<readonly (keyof typeof packageOf)[]> {
  const absent: (keyof typeof packageOf)[] = []
  for (const program of ['buildah', 'podman'] as const) if (!(await which(program))) absent.push(program)
  const runtime = await runtimeHere()
  if (runtime.isMissing) absent.push('runc')
  if (!isRoot() && !(await which('newuidmap'))) absent.push('newuidmap')
  return absent
}

/** Installs missing programs with apt-get. Does nothing without root or without apt-get. */
export async function install(): Promise<void> {
  const packages = (await missingPrograms()).map(program => packageOf[program])
  if (packages.length === 0 || !isRoot() || !(await which('apt-get'))) return
  await must(['apt-get', 'update'], 300)
  const options = ['--yes', '--no-install-recommends', '--option=Dpkg::Use-Pty=0']
  await must(['env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', 'install', ...options, ...packages], 600)
}

/** What is missing to build and run an image here, and what to do about it. Empty if nothing is missing. */
export async function missing(): Promise<readonly string[]> {
  if (process.platform !== 'linux') return ['Linux: buildah and podman do not build or run images on other systems']
  const found: string[] = []
  const programs = await missingPrograms()
  if (programs.length > 0) {
    const packages = programs.map(program => packageOf[program]).join(' ')
    found.push(`${programs.join(', ')}: "apt-get install ${packages}" as root, or --install with this script`)
  }
  const { reason } = await runtimeHere()
  if (reason !== undefined) found.push(reason)
  if (!(await which('dpkg-query'))) found.push('dpkg-query: the base images are made of the files of Debian or Ubuntu')
  return [...found, ...(await missingRights())]
}

async function missingRights(): Promise<readonly string[]> {
  if (isRoot()) {
    const { code, stderr } = await run(['unshare', '--mount', 'true'])
    return code === 0 ? [] : [`a mount namespace (CAP_SYS_ADMIN): ${stderr.trim()}`]
  }
  const found: string[] = []
  const { code, stderr } = await run(['unshare', '--user', '--map-root-user', 'true'])
  if (code !== 0) found.push(`user namespaces, which containers need without root: ${stderr.trim()}`)
  const { username } = userInfo()
  for (const file of ['/etc/subuid', '/etc/subgid']) {
    const lines = (await readFile(file, 'utf8').catch(() => '')).split('\n')
    if (!lines.some(line => line.startsWith(`${username}:`))) found.push(`a range for ${username} in ${file}`)
  }
  return found
}
