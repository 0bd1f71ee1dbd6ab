import sys
import time

scope = sys.argv[1] if len(sys.argv) > 1 else "https://graph.microsoft.com/.default"


def show(get_token):
    """Prints a token. With a number of seconds as second argument, waits that long and prints a token again."""
    try:
        print(get_token(scope), flush=True)
        if len(sys.argv) > 2:
            time.sleep(float(sys.argv[2]))
            print(get_token(scope), flush=True)
    except Exception as error:
        sys.exit(f"{type(error).__name__}: {error}")
