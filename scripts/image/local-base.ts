import { chmod, cp, mkdir, readdir, realpath, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { must } from './command.ts'
import { which } from './requirements.ts'

/**
 * Replacements for the two base images that the Dockerfile pins, made of this machine's files, so that the image can be
 * built without access to a container registry. They test the Dockerfile and the broker, but not the pinned base
 * images.
 */

const node = process.execPath
const hosts = 'hosts: files dns\n'

/** Writes the files of the node image that the Dockerfile uses: Node, npm, a shell, dpkg-query. */
export async function fillNodeBase(root: string): Promise<void> {
  await fillCommon(root, 'root:x:0:0:root:/root:/bin/sh\n', 'root:x:0:\n')
  await mkdir(join(root, 'root'))
  const npm = await npmFolder()
  const programs = await Promise.all(['sh', 'env', 'cp', 'mkdir', 'dpkg-query'].map(found))
  await install(root, node, '/usr/local/bin/node')
  await install(root, await licenseOfNode(), '/usr/local/LICENSE')
  await install(root, npm, '/usr/local/lib/node_modules/npm')
  await symlink('../lib/node_modules/npm/bin/npm-cli.js', join(root, 'usr/local/bin/npm'))
  for (const program of programs) await install(root, program, `/bin/${program.slice(program.lastIndexOf('/') + 1)}`)
  await install(root, join(root, 'bin/env'), '/usr/bin/env')
  for (const library of await librariesOf([node, ...programs])) await install(root, library)
  await installAtomic(root)
}

/** Writes the files of the runtime image: the C and C++ libraries and name resolution, but no programs. */
export async function fillRuntimeBase(root: string): Promise<void> {
  await fillCommon(root, 'root:x:0:0:root:/root:/sbin/nologin\n', 'root:x:0:\n')
  for (const library of await librariesOf([node])) {
    if (!library.includes('libatomic')) await install(root, library)
  }
}

async function fillCommon(root: string, passwd: string, group: string): Promise<void> {
  await mkdir(join(root, 'etc'), { recursive: true })
  await mkdir(join(root, 'tmp'))
  await chmod(join(root, 'tmp'), 0o1777)
  await writeFile(join(root, 'etc/passwd'), passwd)
  await writeFile(join(root, 'etc/group'), group)
  await writeFile(join(root, 'etc/nsswitch.conf'), hosts)
}

/** Installs libatomic in Debian's folder, and dpkg's record of it. */
async function installAtomic(root: string): Promise<void> {
  const library = (await librariesOf([node])).find(path => path.includes('libatomic'))
  const folder = (await readdir('/usr/lib')).find(name => name.endsWith('-linux-gnu'))
  if (!library || !folder) throw new Error('this Node does not use libatomic, or this is not Debian')
  await install(root, library, `/usr/lib/${folder}/libatomic.so.1`)
  for (const path of ['info', 'updates']) await mkdir(join(root, 'var/lib/dpkg', path), { recursive: true })
  await writeFile(join(root, 'var/lib/dpkg/status'), await must(['dpkg-query', '--status', 'libatomic1']))
}

async function install(root: string, from: string, to = from): Promise<void> {
  const target = join(root, to)
  await mkdir(dirname(target), { recursive: true })
  await cp(from, target, { recursive: true, dereference: true })
}

async function librariesOf(programs: readonly string[]): Promise<readonly string[]> {
  const lines = (await must(['ldd', ...programs])).split('\n')
  const paths = lines.map(line => /(?:^\s+|=> )(\/\S+\.so\S*)/.exec(line)?.[1])
  return [...new Set(paths.filter(path => path !== undefined))]
}

async function found(program: string): Promise<string> {
  const path = await which(program)
  if (!path) throw new Error(`${program} is missing`)
  return path
}

/** The folder of the npm package. Its program may be a link to it. */
async function npmFolder(): Promise<string> {
  const program = process.env['npm_execpath'] ?? (await realpath(await found('npm')))
  return dirname(dirname(program))
}

/** The licence of Node. The npm package has it beside the program's folder, like Node's archives do. */
const licenseOfNode = async (): Promise<string> => join(dirname(dirname(await realpath(node))), 'LICENSE')
