import { watch, type FSWatcher } from 'node:fs'
import { dirname } from 'node:path'

const settleMs = 200
const pollMs = 60_000

/** Files that are looked at again when they may have changed. */
export interface FileWatch {
  /** Watches these files from now on, in place of the ones before. */
  readonly follow: (files: readonly string[]) => void
  readonly close: () => void
}

/**
 * Tells when something changed where files are, some moments after the last change, and once a minute: a Kubernetes
 * Secret or ConfigMap is replaced by swapping a symbolic link, which a watch on the file itself would see once and
 * never
 * again, and network file systems tell nothing. What changed is for the listener to find out.
 *
 * @param changed must not throw
 * @param failed told when a folder cannot be watched; the minute stays
 */
export function watchFiles(files: readonly string[], changed: () => void, failed: (error: unknown) => void): FileWatch {
  const watchers = new Map<string, FSWatcher>()
  let pending: NodeJS.Timeout | undefined
  const soon = (): void => {
    clearTimeout(pending)
    pending = setTimeout(changed, settleMs).unref()
  }
  const drop = (folder: string): void => {
    watchers.get(folder)?.close()
    watchers.delete(folder)
  }
  const add = (folder: string): void => {
    try {
      const watcher = watch(folder, { persistent: false }, soon)
      watchers.set(folder, watcher)
      watcher.on('error', error => {
        drop(folder)
        failed(error)
      })
    } catch (thrown) {
      failed(thrown)
    }
  }
  const follow = (wanted: readonly string[]): void => {
    const folders = new Set(wanted.map(file => dirname(file)))
    for (const folder of watchers.keys()) if (!folders.has(folder)) drop(folder)
    for (const folder of folders) if (!watchers.has(folder)) add(folder)
  }
  follow(files)
  const poll = setInterval(changed, pollMs).unref()
  return {
    follow,
    close: () => {
      clearTimeout(pending)
      clearInterval(poll)
      for (const folder of watchers.keys()) drop(folder)
    },
  }
}
