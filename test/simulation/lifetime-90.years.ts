import { years } from './years.js'

years(90)
