import { App } from "./ui/app.js";

const app = new App(document.body);
app.start();

// Tests and curious people find the page's parts here; nothing in the page reads it.
Object.defineProperty(window, "loom", { value: app });
