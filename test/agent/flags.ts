import { parseArgs } from 'node:util'
import { readFlags, type AgentSettings } from '../../src/agent/settings.ts'
import { agentCommand } from '../../src/commands/agent.ts'

/** Settings as the command reads them of its arguments. */
export function settingsOf(args: readonly string[], environment: Readonly<Record<string, string>> = {}): AgentSettings {
  const types = Object.entries(agentCommand.options).map(([name, { type }]) => [name, { type }] as const)
  const { values } = parseArgs({ args: [...args], options: Object.fromEntries(types) })
  return readFlags(values, environment)
}
