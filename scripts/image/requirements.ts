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

async function missingPrograms(): Promise<readonly (keyof typeof packageOf)[]> {
  const absent: (keyof typeof packageOf)[] = []
  for (const program of ['buildah', 'podman'] as const) if (!(await which(program))) absent.push(program)
  if (!(await which('runc')) && !(await which('crun'))) absent.push('runc')
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
