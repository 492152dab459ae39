# What these boards do with a task; goes onto them in place of the firmware's own.
def handle(task):
    return {"half": task["number"] / 2}
