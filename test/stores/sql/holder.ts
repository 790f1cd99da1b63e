import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'
import type { Target } from './connect.js'

/** Lets another process acquire the lock of a.example, and kills the process. */
export async function killHolder(target: Target, table: string) {
  const script = fileURLToPath(new URL('holder-process.js', import.meta.url))
  const holder = spawn(process.execPath, [script, JSON.stringify(target), table], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [line] = await once(holder.stdout, 'data')
  expect(String(line)).toBe('held\n')
  holder.kill('SIGKILL')
  await once(holder, 'exit')
}
