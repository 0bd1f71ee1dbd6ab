import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { pinnedNode } from './bundle.ts'
import { buildOnLocalBases, openStorage } from './image/build.ts'
import { endOnSignals } from './image/command.ts'
import * as checks from './image/checks.ts'
import { start, type Subject } from './image/container.ts'
import { install, missing } from './image/requirements.ts'
import { measure } from './image/sizes.ts'
import { createWorld, type World } from './image/world.ts'

const help = `Builds the image and tries it out.

Usage: node scripts/image.ts [--install] [--rounds 5]
         builds it with buildah, on bases made of this machine's files, and runs it with podman
       node scripts/image.ts --image NAME [--engine docker] [--rounds 5]
         runs an image that the engine (docker, podman) has

The image runs read-only and without capabilities, gets a token from the emulator outside, and is stopped with SIGTERM.

  --install   installs buildah, podman and what they need with apt-get, as root
  --rounds    how often the time to the first token is measured

Exit codes: 0 all is well, 1 something is not, 2 wrong usage, 77 this machine cannot build or run images: it says why
`
const cannot = 77
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
  const { help: asks, install: installs, image, engine, rounds } = parse()
  if (asks) return 'help'
  if (engine !== 'podman' && engine !== 'docker') throw new UsageError(`--engine is podman or docker, not "${engine}"`)
  if (!/^[1-9]\d?$/.test(rounds)) throw new UsageError(`--rounds is 1 to 99, not "${rounds}"`)
  return { install: installs, image, engine, rounds: Number(rounds) }
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

/** Tries out an image; returns whether it is as it should be. */
async function tryOut(subject: Subject, rounds: number, folder: string): Promise<boolean> {
  const world = await createWorld(folder)
  try {
    const found = [...(await checks.checkCommands(subject)), ...(await serve(subject, rounds, world))]
    for (const check of found) {
      if (checks.holds(check)) print(`ok      ${check.what}`)
      else print(`NOT OK  ${check.what}: ${JSON.stringify(check.actual)}, not ${JSON.stringify(check.expected)}`)
    }
    const { unpacked, packed, layers } = await measure(subject, folder)
    print(`size    ${megabytes(unpacked)}; with gzip ${megabytes(packed)}. Its layers:`)
    for (const layer of layers) print(`        ${layer}`)
    return found.every(checks.holds)
  } finally {
    await world.close()
  }
}

/** Starts the image as often as asked for, and checks the last of the containers. */
async function serve(subject: Subject, rounds: number, world: World): Promise<readonly checks.Check[]> {
  const [sinceCommand, sinceProcess]: [number[], number[]] = [[], []]
  for (let round = rounds; ; round--) {
    const container = await start(subject, world.environment, world.folder, world.ask)
    try {
      sinceCommand.push(container.commandToTokenMs)
      sinceProcess.push(container.processToTokenMs)
      if (round > 1) continue
      const { checks: inside, rssKb } = await checks.probeInside(container)
      const outside = await checks.checkAnswers(world)
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

async function buildAndTryOut({ install: installs, rounds }: Values): Promise<number> {
  if (installs) await install()
  const reasons = await missing()
  for (const reason of reasons) print(`missing: ${reason}`)
  if (reasons.length > 0) return cannot
  const storage = await openStorage()
  try {
    const started = performance.now()
    const image = await buildOnLocalBases(storage)
    print(`built   in ${Math.round((performance.now() - started) / 1000)} s, on bases made here`)
    return (await tryOut({ engine: 'podman', options: storage.options, image }, rounds, storage.folder)) ? 0 : 1
  } finally {
    await storage.remove()
  }
}

async function tryOutExisting(engine: 'podman' | 'docker', image: string, rounds: number): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'token-broker-image-'))
  try {
    return (await tryOut({ engine, options: [], image }, rounds, folder)) ? 0 : 1
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
    return cannot
  }
  endOnSignals()
  // Whoever reads this may stop reading; what was started is removed all the same.
  process.stdout.on('error', () => undefined)
  const { image, engine, rounds } = values
  return image === undefined ? buildAndTryOut(values) : tryOutExisting(engine, image, rounds)
}

try {
  process.exitCode = await main()
} catch (thrown) {
  process.stderr.write(`image: ${thrown instanceof Error ? thrown.message : String(thrown)}\n`)
  process.exitCode = thrown instanceof UsageError ? 2 : 1
}
