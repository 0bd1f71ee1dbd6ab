import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { agentCommand } from '../../src/commands/agent.ts'
import { columns, helpOf } from '../../src/commands/command.ts'
import { doctorCommand } from '../../src/commands/doctor.ts'
import { newKeyCommand } from '../../src/commands/key.ts'
import { cacheKeyCommand } from '../../src/commands/key-cache.ts'
import { policyCheckCommand } from '../../src/commands/policy-check.ts'
import { policyExplainCommand } from '../../src/commands/policy-explain.ts'
import { policyTestCommand } from '../../src/commands/policy-test.ts'
import { serveCommand } from '../../src/commands/serve.ts'
import { tokenCommand } from '../../src/commands/token.ts'

describe('--help fits a terminal of 120 columns', () => {
  const commands = [
    agentCommand,
    doctorCommand,
    newKeyCommand,
    cacheKeyCommand,
    policyCheckCommand,
    policyExplainCommand,
    policyTestCommand,
    serveCommand,
    tokenCommand,
  ]
  for (const command of commands) {
    test(command.name, () => {
      const long = helpOf(command)
        .split('\n')
        .filter(line => line.length > 120)
      assert.deepEqual(long, [])
    })
  }
})

test('a long second column is wrapped between words, below itself, without losing one', () => {
  const words = Array.from({ length: 40 }, (_, n) => `word${n}`).join(' ')
  const rows = [
    ['--a FILE', words],
    ['--b', 'short'],
  ]
  const lines = columns(rows, 60).split('\n')
  assert.equal(lines.at(-2), '  --b       short')
  const long = lines.slice(0, -2)
  assert.ok(long.length > 1 && long.every(line => line.length <= 60))
  assert.equal(long.map(line => line.slice(12)).join(' '), words)
  assert.ok(long.slice(1).every(line => line.startsWith(' '.repeat(12))))
  assert.equal(columns(rows).split('\n').length, 3, 'without a width nothing is wrapped')
})
