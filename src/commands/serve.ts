import { exitCodes } from '../exit.ts'
import { serve } from '../service/serve.ts'
import type { Command } from './command.ts'

/** `token-broker serve`: runs the broker until it is stopped. */
export const serveCommand: Command = {
  name: 'serve',
  takes: [],
  about: 'run the broker. Environment variables configure it; docs/configuration.md lists them.',
  options: {},
  exits: [
    [exitCodes.stopped, 'stopped by a signal, after every request had its response'],
    [exitCodes.failed, 'stopped by an unexpected error, by a second signal, or before every request had its response'],
    [exitCodes.usage, 'wrong usage of this command'],
    [exitCodes.configuration, 'the environment or the policy is invalid; all errors are listed'],
    [exitCodes.listen, 'it cannot listen on the address or port'],
  ],
  run: async ({ environment, handOverSignals }) => {
    await serve(environment, handOverSignals)
    return exitCodes.stopped
  },
}
