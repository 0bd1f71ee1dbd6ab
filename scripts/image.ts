import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { pinnedNode } from './bundle.ts'
import { buildOnLocalBases, openStorage } from './image/build.ts'
import { endOnSignals } from './image/command.ts'
import * as checks from './image/checks.ts'
import { start, type Subject } from './image/container.ts'
import { install, missing, missingRuntime, runtimeOptions } from './image/requirements.ts'
import { measure } from './image/sizes.ts'
import { createWorld, type World } from './image/world.ts'

const help = `Builds the image and tests it.

Usage: node scripts/image.ts [--install] [--rounds 5]
         builds the image with buildah, on base images made of this machine's files, and runs it with podman
       node scripts/image.ts --image NAME [--engine docker] [--rounds 5]
         runs an existing image with docker or podman (the default)

The image runs read-only and without capabilities. It gets a token from an emulator on this machine, and is stopped
with SIGTERM.

  --install   first install buildah, podman and what they need with apt-get (only as root)
  --rounds    how often to measure the time to the first token: 1 to 99, default 5

Exit codes: 0 all checks passed, 1 a check failed, 2 wrong usage, 77 this machine cannot build or run images (the
reason is printed)
`
const cannotRun = 77
const print = (line: string) => process.stdout.write(`${line}\n`)
const median = (values: readonly number[]) => Math.round(values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN)
const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`

interface Values {
  readonly install: boolean
  readonly image: string | undefined
  readonly engine: 'podman' | 'docker'
  readonly rounds: number
}

class UsageError extends Error {}

/** @throws UsageError */
function readArguments(): Values | 'help' {
  const { help: wantsHelp, install: wantsInstall, image, engine, rounds } = parse()
  if (wantsHelp) return 'help'
  if (engine !== 'podman' && engine !== 'docker')
    throw new UsageError(`--engine must be podman or docker; got "${engine}"`)
  if (!/^[1-9]\d?$/.test(rounds)) throw new UsageError(`--rounds must be from 1 to 99; got "${rounds}"`)
  return { install: wantsInstall, image, engine, rounds: Number(rounds) }
}

function parse() {
  const options = {
    help: { type: 'boolean', short: 'h', default: false },
    install: { type: 'boolean', default: false },
    image: { type: 'string' },
    engine: { type: 'string', default: 'podman' },
    rounds: { type: 'string', default: '5' },
  } as const
  try {
    return parseArgs({ options }).values
  } catch (thrown) {
    throw new UsageError(thrown instanceof Error ? thrown.message : String(thrown))
  }
}

/** Runs an image and prints the result of every check. Returns whether all passed. */
async function testImage(subject: Subject, rounds: number, folder: string): Promise<boolean> {
  const world = await createWorld(folder)
  try {
    const found = [...(await checks.checkCommands(subject)), ...(await serve(subject, rounds, world))]
    for (const check of found) {
      if (checks.passes(check)) print(`ok      ${check.what}`)
      else
        print(`FAILED  ${check.what}: expected ${JSON.stringify(check.expected)}, got ${JSON.stringify(check.actual)}`)
    }
    const { unpacked, packed, layers } = await measure(subject, folder)
    print(`size    ${megabytes(unpacked)}; compressed with gzip ${megabytes(packed)}. Layers:`)
    for (const layer of layers) print(`        ${layer}`)
    return found.every(checks.passes)
  } finally {
    await world.close()
  }
}

/** Starts the image `rounds` times and checks the last container. */
async function serve(subject: Subject, rounds: number, world: World): Promise<readonly checks.Check[]> {
  const [sinceCommand, sinceProcess]: [number[], number[]] = [[], []]
  for (let round = rounds; ; round--) {
    const container = await start(subject, world.environment, world.folder, world.requestToken)
    try {
      sinceCommand.push(container.commandToTokenMs)
      sinceProcess.push(container.processToTokenMs)
      if (round > 1) continue
      const { checks: inside, rssKb } = await checks.probeInside(container)
      const outside = await checks.checkResponses(world)
      const health = await checks.checkHealth(subject, container)
      print(`start   ${median(sinceCommand)} ms from "${subject.engine} run" to the first token,`)
      print(`        ${median(sinceProcess)} ms from the start of the process (medians of ${sinceCommand.length})`)
      print(`memory  ${megabytes(rssKb * 1024)} resident after the first token`)
      return [...inside, ...outside, ...health, ...(await checks.checkStop(container, world))]
    } finally {
      await container.remove()
    }
  }
}

async function buildAndTest({ install: wantsInstall, rounds }: Values): Promise<number> {
  if (wantsInstall) await install()
  const reasons = await missing()
  for (const reason of reasons) print(`missing: ${reason}`)
  if (reasons.length > 0) return cannotRun
  const storage = await openStorage()
  try {
    const started = performance.now()
    const image = await buildOnLocalBases(storage)
    print(
      `built   in ${Math.round((performance.now() - started) / 1000)} s, on base images made of this machine's files`,
    )
    const options = [...storage.options, ...(await runtimeOptions())]
    return (await testImage({ engine: 'podman', options, image }, rounds, storage.folder)) ? 0 : 1
  } finally {
    await storage.remove()
  }
}

async function testExisting(engine: 'podman' | 'docker', image: string, rounds: number): Promise<number> {
  const reason = engine === 'podman' ? await missingRuntime() : undefined
  if (reason !== undefined) {
    print(`missing: ${reason}`)
    return cannotRun
  }
  const folder = await mkdtemp(join(tmpdir(), 'token-broker-image-'))
  try {
    const options = engine === 'podman' ? await runtimeOptions() : []
    return (await testImage({ engine, options, image }, rounds, folder)) ? 0 : 1
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function main(): Promise<number> {
  const values = readArguments()
  if (values === 'help') {
    process.stdout.write(help)
    return 0
  }
  if (process.version !== pinnedNode) {
    print(`missing: Node ${pinnedNode}, which package.json pins; this is ${process.version}`)
    return cannotRun
  }
  endOnSignals()
  // If the reader of stdout goes away, containers and images are still removed.
  process.stdout.on('error', () => undefined)
  const { image, engine, rounds } = values
  return image === undefined ? buildAndTest(values) : testExisting(engine, image, rounds)
}

try {
  process.exitCode = await main()
} catch (thrown) {
  process.stderr.write(`image: ${thrown instanceof Error ? thrown.message : String(thrown)}\n`)
  process.exitCode = thrown instanceof UsageError ? 2 : 1
}
