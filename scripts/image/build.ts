import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { must, run, runAnyway } from './command.ts'
import { fillNodeBase, fillRuntimeBase } from './local-base.ts'

const root = join(import.meta.dirname, '../..')
const buildSeconds = 900

/** Images and containers in a temporary folder, separate from all others on the machine. */
export interface Storage {
  readonly folder: string
  /** The options that make buildah and podman use it. */
  readonly options: readonly string[]
  /** Removes its containers and everything else. */
  readonly remove: () => Promise<void>
}

/** Creates a storage. It uses overlay if the file system supports it, and plain copies otherwise. */
export async function openStorage(): Promise<Storage> {
  const folder = await mkdtemp(join(tmpdir(), 'token-broker-image-'))
  const places = ['--root', join(folder, 'storage'), '--runroot', join(folder, 'run')]
  const overlay = [...places, '--storage-driver', 'overlay']
  const { code } = await run(['buildah', ...overlay, 'images'])
  const options = code === 0 ? overlay : [...places, '--storage-driver', 'vfs']
  const remove = async () => {
    await runAnyway(['podman', ...options, 'rm', '--all', '--force', '--time', '0'])
    await runAnyway(['buildah', ...options, 'rm', '--all'])
    for (const mount of await mountsBelow(folder)) await runAnyway(['umount', '--lazy', mount])
    if (process.getuid?.() === 0) await rm(folder, { recursive: true, force: true })
    // In rootless mode, files belong to users of a user namespace. Only inside of it can they be deleted.
    else await runAnyway(['buildah', ...options, 'unshare', 'rm', '-rf', folder])
  }
  return { folder, options, remove }
}

/** Mounts that a killed build may have left, the innermost first. */
async function mountsBelow(folder: string): Promise<readonly string[]> {
  const mounts = (await readFile('/proc/self/mounts', 'utf8')).split('\n').map(line => line.split(' ')[1] ?? '')
  return mounts.filter(mount => mount.startsWith(`${folder}/`)).toReversed()
}

/** Builds the Dockerfile on base images made of this machine's files. Returns the image's name. */
export async function buildOnLocalBases(storage: Storage): Promise<string> {
  const nodeBase = await buildBase(storage, 'node-base', fillNodeBase)
  const runtimeBase = await buildBase(storage, 'runtime-base', fillRuntimeBase)
  const image = 'localhost/token-broker'
  const values = {
    NODE_IMAGE: nodeBase,
    RUNTIME_IMAGE: runtimeBase,
    VERSION: 'local',
    REVISION: (await run(['git', '-C', root, 'rev-parse', 'HEAD'])).stdout.trim(),
    BASE_NAME: runtimeBase,
  }
  const args = Object.entries(values).flatMap(([name, value]) => ['--build-arg', `${name}=${value}`])
  const mounts = await npmMounts(storage.folder)
  await buildah(storage, ['--network=host', ...args, ...mounts, '--tag', image, root])
  return image
}

async function buildBase(storage: Storage, name: string, fill: (root: string) => Promise<void>): Promise<string> {
  const [image, files] = [`localhost/token-broker-${name}`, join(storage.folder, name)]
  await mkdir(files)
  await fill(files)
  const dockerfile = join(storage.folder, `${name}.Dockerfile`)
  await writeFile(dockerfile, 'FROM scratch\nCOPY . /\n')
  await buildah(storage, ['--file', dockerfile, '--tag', image, files])
  await rm(files, { recursive: true })
  return image
}

/** Chroot isolation requires the fewest rights. The Docker format keeps HEALTHCHECK, which the OCI format lacks. */
const buildah = ({ options }: Storage, args: readonly string[]): Promise<string> =>
  must(
    ['buildah', ...options, 'build', '--isolation=chroot', '--format=docker', '--pull=never', '--layers', ...args],
    buildSeconds,
  )

/** Mounts that make npm in the build use this machine's registry and certificate authorities. No layer has them. */
async function npmMounts(folder: string): Promise<readonly string[]> {
  const npmrc = join(folder, 'npmrc')
  const registry = (await must(['npm', 'config', 'get', 'registry'])).trim()
  const certificates = process.env['NODE_EXTRA_CA_CERTS']
  const lines = [`registry=${registry}`, ...(certificates ? ['cafile=/run/npm-ca.pem'] : [])]
  await writeFile(npmrc, `${lines.join('\n')}\n`)
  const mounts = [`${npmrc}:/root/.npmrc:ro`, ...(certificates ? [`${certificates}:/run/npm-ca.pem:ro`] : [])]
  return mounts.flatMap(mount => ['--volume', mount])
}
