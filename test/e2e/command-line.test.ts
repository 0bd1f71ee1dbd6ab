import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { version } from '../../src/service/package.ts'
import { ended } from './process.ts'

const general = /^token-broker: .*\n\nUsage: token-broker <command>\n[\s\S]*Exit codes:/
const policy = /^token-broker policy: .*\n\nUsage: token-broker policy <command>\n\nCommands:\n {2}policy check /

describe('help is printed on stdout, with exit code 0', () => {
  const rows: readonly (readonly [args: readonly string[], says: RegExp])[] = [
    [['help'], general],
    [['help', '--help'], general],
    [['policy'], policy],
    [['policy', '--help'], policy],
    [['policy', '-h'], policy],
    [['policy', 'help'], policy],
    [['help', 'policy'], policy],
    [['key', '--help'], /^token-broker key: [\s\S]*\n {2}key new /],
    [['help', 'policy', 'check'], /^token-broker policy check: [\s\S]*Exit codes:/],
    [['help', 'serve'], /^token-broker serve: [\s\S]*Exit codes:/],
    [['--version'], new RegExp(`^${version.replaceAll('.', '\\.')}\n$`)],
  ]
  for (const [args, says] of rows)
    test(`token-broker ${args.join(' ')}`, async t => {
      const { code, stdout, stderr } = await ended(t, args)
      assert.deepEqual([code, stderr], [0, ''])
      assert.match(stdout, says)
    })
})

describe('a command that does not exist has exit code 2, and the nearest one is suggested', () => {
  const rows: readonly (readonly [args: readonly string[], says: RegExp])[] = [
    [['srve'], /unknown command "srve" \(did you mean serve\?\)\nTry: token-broker --help/],
    [['polcy', 'check', 'x'], /unknown command "polcy" \(did you mean policy check\?\)/],
    [['help', 'agnt'], /unknown command "agnt" \(did you mean agent\?\)/],
    [
      ['policy', 'chek', 'x'],
      /did you mean policy check\?\); allowed commands: policy check, .*\nTry: token-broker policy --help/,
    ],
    [['policy', '--frob'], /unknown option "--frob"\nTry: token-broker policy --help/],
    [
      ['agent', '--tennant', 'x'],
      /Unknown option '--tennant' \(did you mean --tenant\?\)\nTry: token-broker agent --help/,
    ],
    [['brew'], /unknown command "brew"\nTry: token-broker --help/],
  ]
  for (const [args, says] of rows)
    test(`token-broker ${args.join(' ')}`, async t => {
      const { code, stdout, stderr } = await ended(t, args)
      assert.deepEqual([code, stdout], [2, ''])
      assert.match(stderr, says)
    })
})
