import { exitCodes } from '../exit.ts'
import { serve } from '../service/serve.ts'
import type { Command } from './command.ts'

export const serveCommand: Command = {
  name: 'serve',
  takes: [],
  about: 'run the broker. The environment configures it; docs/configuration.md has the variables.',
  options: {},
  exits: [
    [exitCodes.stopped, 'stopped by a signal, everything answered'],
    [exitCodes.failed, 'stopped by an unexpected error, by a second signal, or before everything was answered'],
    [exitCodes.usage, 'wrong usage of this command'],
    [exitCodes.configuration, 'the environment or the policy is faulty; every fault is listed'],
    [exitCodes.listen, 'the address or port to listen on cannot be had'],
  ],
  run: async ({ environment, handOverSignals }) => {
    await serve(environment, handOverSignals)
    return exitCodes.stopped
  },
}
