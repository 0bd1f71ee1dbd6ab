import { parseArgs } from 'node:util'
import { nearestName } from '../broker/lib/text/did-you-mean.ts'
import { hasCredential } from '../broker/lib/text/credential-shapes.ts'
import { printable } from '../broker/lib/text/quoted.ts'
import { wrapped } from '../broker/lib/text/wrapped.ts'
import type { Environment } from '../config/environment.ts'
import { messageOf } from '../errors.ts'
import { ExitError, exitCodes } from '../exit.ts'

/** One option of a command: `--name`, with a value unless it is a flag. */
export interface Option {
  readonly type: 'string' | 'boolean'
  /** The name of the value in help, such as `FILE`. */
  readonly value?: string
  readonly help: string
}

/** What the command line passes to a command. */
export interface Input {
  /** Options by name, without the dashes. Options that were not given are absent. */
  readonly options: Readonly<Record<string, string | boolean | undefined>>
  /** The positional arguments: one for each name in {@link Command.takes}. */
  readonly taken: readonly string[]
  readonly environment: Environment
  /** A command must call this once it handles signals itself. */
  readonly handOverSignals: () => void
  /** Writes to standard output. */
  readonly out: (text: string) => void
  /** Milliseconds since 1970. */
  readonly now: () => number
}

/** One command of the command line. */
export interface Command {
  /** The words after `token-broker`, such as `key new`. */
  readonly name: string
  /** The names of its positional arguments in order, such as `NAME`. All of them are required. */
  readonly takes: readonly string[]
  /** What it does, in full sentences. */
  readonly about: string
  readonly options: Readonly<Record<string, Option>>
  /** Its exit codes, and what each means for this command. */
  readonly exits: readonly (readonly [code: number, meaning: string])[]
  /** Whether it is meant to print a credential. What other commands print has none in it. */
  readonly printsCredential?: true
  /**
   * Whether work may go on after it, such as a look-up of a name, or a read from a file system that does not respond. The
   * process then ends two seconds later at most.
   */
  readonly leavesWork?: true
  /** Resolves to the exit code. Throws {@link ExitError} for every failure that is not a bug. */
  readonly run: (input: Input) => Promise<number>
}

/** The text that `--help` shows for a command. */
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

/** Lines of two columns, the first as wide as its widest entry, the second wrapped between words if it is too long. */
export function columns(rows: readonly (readonly string[])[], maxColumns = Number.POSITIVE_INFINITY): string {
  const width = Math.max(...rows.map(([first = '']) => first.length))
  return rows
    .flatMap(([first = '', second = '']) =>
      wrapped(second, maxColumns - width - 4).map(
        (line, nth) => `  ${(nth === 0 ? first : '').padEnd(width)}  ${line}\n`,
      ),
    )
    .join('')
}

/**
 * Runs a command with the arguments that follow its name.
 * @throws ExitError with the exit code `usage` for unknown options, and for too few or too many arguments
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
  refuseCredentials(command, values, positionals)
  const { name, takes } = command
  const surplus = positionals.slice(takes.length)
  if (surplus.length > 0) {
    const wanted = takes.length === 0 ? 'no arguments' : `${takes.join(' and ')} only`
    throw usage(`${name} takes ${wanted}, but got "${surplus.join(' ')}"`, name)
  }
  const missing = takes[positionals.length]
  if (missing !== undefined) throw usage(`${name} needs ${missing}`, name)
  const out = command.printsCredential ? surroundings.out : (text: string): void => surroundings.out(printable(text))
  return command.run({ ...surroundings, out, options: values, taken: positionals })
}

/**
 * Refuses arguments that are credentials, and does not repeat them. The list of processes and the shell's history show
 * arguments, and commands repeat them in messages, or use them as the name of a file.
 */
function refuseCredentials({ name, takes, options }: Command, values: Input['options'], taken: Input['taken']): void {
  const given = [
    ...Object.entries(values).map(([flag, value]) => [`--${flag}`, value, options[flag]?.value] as const),
    ...taken.map((value, nth) => [takes[nth] ?? 'an argument', value, takes[nth]] as const),
  ]
  for (const [where, value, kind] of given) {
    if (typeof value !== 'string' || !hasCredential(value)) continue
    const instead = kind === 'FILE' ? 'give the path of a file' : kind === 'NAME' ? 'give a name' : 'leave it out'
    throw usage(`${where} looks like a token or an API key, which is not repeated here; ${instead}`, name)
  }
}

/** Characters of the shortest option that is suggested. */
const shortestOption = 3

function parse({ name, options }: Command, args: readonly string[]) {
  const known = Object.entries(options).map(([flag, { type }]) => [flag, { type }] as const)
  try {
    return parseArgs({
      args: [...args],
      options: { ...Object.fromEntries(known), help: { type: 'boolean', short: 'h' } },
      allowPositionals: true,
    })
  } catch (thrown) {
    // Node adds advice about positional arguments, which does not apply here.
    const what = messageOf(thrown).split('. To specify')[0] ?? ''
    const unknown = /^Unknown option '--([\w-]+)'/.exec(what)?.[1] ?? ''
    const near = nearestName(unknown, [...Object.keys(options), 'help'], shortestOption)
    throw usage(near === undefined || unknown === '' ? what : `${what} (did you mean --${near}?)`, name)
  }
}

/** The error for a wrong use of the command line. Its message says which help to read. */
export const usage = (what: string, command?: string): ExitError =>
  new ExitError(`${what}\nTry: token-broker ${command === undefined ? '' : `${command} `}--help`, exitCodes.usage)
