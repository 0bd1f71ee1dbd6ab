import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { type Browser, chromium } from 'playwright-core'
import type { Closing } from '../support/broker.ts'

const folders = [join(import.meta.dirname, '../../.tools/bin'), ...(process.env['PATH'] ?? '').split(delimiter)]
const program = ['chromium', 'google-chrome']
  .flatMap(name => folders.map(folder => join(folder, name)))
  .find(file => existsSync(file))

/** The options of a test that needs a browser: skipped, with the reason, where none is installed. */
export const withBrowser = {
  skip: program === undefined && 'neither chromium nor google-chrome is in .tools/bin or in PATH; see scripts/tools.sh',
}

/**
 * Starts a real browser without a window and without a network: every host but loopback is unknown to it. It ends with
 * the test or the file; it also ends if this process does, because it loses the pipe to it.
 */
export async function startChromium(closing: Closing): Promise<Browser> {
  const browser = await chromium.launch({
    executablePath: program ?? 'chromium',
    // Chromium refuses to start as root with its sandbox.
    chromiumSandbox: process.getuid?.() !== 0,
    args: ['--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1'],
    timeout: 60_000,
    handleSIGINT: false,
    handleSIGTERM: false,
    handleSIGHUP: false,
  })
  closing.after(() => browser.close())
  return browser
}
