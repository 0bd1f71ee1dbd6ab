import { parseArgs } from 'node:util'
import type { Environment } from '../config/environment.ts'
import { messageOf } from '../errors.ts'
import { ExitError, exitCodes } from '../exit.ts'

/** One option of a command: `--name`, with a value unless it is a flag. */
export interface Option {
  readonly type: 'string' | 'boolean'
  /** How the value is called in help: `FILE`. */
  readonly value?: string
  readonly help: string
}

/** What a command gets. */
export interface Input {
  /** Options by name, without the dashes; what was not given is absent. */
  readonly options: Readonly<Record<string, string | boolean | undefined>>
  /** As many as {@link Command.takes} names. */
  readonly taken: readonly string[]
  readonly environment: Environment
  /** Called by a command once it handles signals itself. */
  readonly handOverSignals: () => void
  /** Writes to standard output. */
  readonly out: (text: string) => void
  /** Milliseconds since 1970. */
  readonly now: () => number
}

/** One command of the command line. */
export interface Command {
  /** What it is called by, such as `key new`. */
  readonly name: string
  /** What it takes, in order, such as `NAME`: all of it is required. */
  readonly takes: readonly string[]
  /** What it does, in full sentences. */
  readonly about: string
  readonly options: Readonly<Record<string, Option>>
  /** The exit codes that it can end with, and what they mean here. */
  readonly exits: readonly (readonly [code: number, meaning: string])[]
  /** Resolves to the exit code. Throws {@link ExitError} for whatever is not a bug. */
  readonly run: (input: Input) => Promise<number>
}

/** `--help` of a command. */
export function helpOf({ name, takes, about, options, exits }: Command): string {
  const flags = Object.entries(options).map(([flag, { value, help }]) => [
    value === undefined ? `--${flag}` : `--${flag} ${value}`,
    help,
  ])
  const usage = ['token-broker', name, ...takes, ...(Object.keys(options).length > 0 ? ['[options]'] : [])].join(' ')
  return (
    `token-broker ${name}: ${about}\n\nUsage: ${usage}\n\nOptions:\n${columns([...flags, ['--help', 'show this text']], helpColumns)}` +
    `\nExit codes:\n${columns(exits.map(([code, meaning]) => [String(code), meaning]))}`
  )
}

const helpColumns = 110

/** Lines of two columns, the first as wide as its widest entry, the second broken between words if it is too long. */
export function columns(rows: readonly (readonly string[])[], maxColumns = Number.POSITIVE_INFINITY): string {
  const width = Math.max(...rows.map(([first = '']) => first.length))
  return rows
    .flatMap(([first = '', second = '']) =>
      broken(second, maxColumns - width - 4).map(
        (line, nth) => `  ${(nth === 0 ? first : '').padEnd(width)}  ${line}\n`,
      ),
    )
    .join('')
}

function broken(text: string, width: number): readonly string[] {
  const lines: string[] = []
  for (const word of text.split(' ')) {
    const last = lines.at(-1)
    if (last !== undefined && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`
    else lines.push(word)
  }
  return lines
}

/**
 * Runs a command with the arguments that follow its name.
 * @throws ExitError of `usage` for options it does not have and for arguments too few or too many
 */
export async function runCommand(
  command: Command,
  args: readonly string[],
  surroundings: Omit<Input, 'options' | 'taken'>,
): Promise<number> {
  const { values, positionals } = parse(command, args)
  if (values['help'] === true) {
    surroundings.out(helpOf(command))
    return exitCodes.stopped
  }
  const { name, takes } = command
  const surplus = positionals.slice(takes.length)
  if (surplus.length > 0) {
    const wanted = takes.length === 0 ? 'no arguments' : `${takes.join(' and ')} only`
    throw usage(`${name} takes ${wanted}, but got "${surplus.join(' ')}"`, name)
  }
  const missing = takes[positionals.length]
  if (missing !== undefined) throw usage(`${name} needs ${missing}`, name)
  return command.run({ ...surroundings, options: values, taken: positionals })
}

function parse({ name, options }: Command, args: readonly string[]) {
  const known = Object.entries(options).map(([flag, { type }]) => [flag, { type }] as const)
  try {
    return parseArgs({
      args: [...args],
      options: { ...Object.fromEntries(known), help: { type: 'boolean', short: 'h' } },
      allowPositionals: true,
    })
  } catch (thrown) {
    // What Node adds about positional arguments is no help here.
    throw usage(messageOf(thrown).split('. To specify')[0] ?? '', name)
  }
}

/** A wrong use of the command line, with where to read how to use it. */
export const usage = (what: string, command?: string): ExitError =>
  new ExitError(`${what}\nTry: token-broker ${command === undefined ? '' : `${command} `}--help`, exitCodes.usage)
