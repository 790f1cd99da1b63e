import type { TestProject } from 'vitest/node'
import { buildGoProgram } from './build.js'

declare module 'vitest' {
  interface ProvidedContext {
    /** The path of the program that go/autocert is built to. */
    goProgram: string
  }
}

/** Builds the Go side once for the run. */
export default async function setup(project: TestProject) {
  project.provide('goProgram', await buildGoProgram('autocert'))
}
