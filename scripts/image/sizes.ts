import { createReadStream } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import { must } from './command.ts'
import type { Subject } from './container.ts'

/** The size of an image. */
export interface Sizes {
  /** Bytes, uncompressed. */
  readonly unpacked: number
  /** Bytes of all layers compressed with gzip, which is about what a registry transfers. */
  readonly packed: number
  /** A line for each layer that is not empty, the lowest first: its size and its instruction. */
  readonly layers: readonly string[]
}

/** Measures an image. @param folder for a temporary copy of it */
export async function measure({ engine, options, image }: Subject, folder: string): Promise<Sizes> {
  const own = [engine, ...options]
  const unpacked = Number(await must([...own, 'image', 'inspect', '--format', '{{.Size}}', image]))
  const history = await must([...own, 'history', '--no-trunc', '--format', '{{.Size}}\t{{.CreatedBy}}', image])
  const layers = history
    .trim()
    .split('\n')
    .filter(line => !/^0 ?B\t/.test(line))
    .map(line => line.replace('/bin/sh -c #(nop) ', '').slice(0, 110))
  const copy = join(folder, 'image.tar')
  await must([...own, 'save', '--output', copy, image], 300)
  let packed = 0
  await pipeline(createReadStream(copy), createGzip(), async chunks => {
    for await (const chunk of chunks as AsyncIterable<Buffer>) packed += chunk.length
  })
  await rm(copy)
  return { unpacked, packed, layers: layers.toReversed() }
}
